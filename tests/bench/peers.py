"""What others see beside the plugin, and what they take: the same listeners in the same minutes.

The others: collectd's own tcpconns and protocols, PCP with pmdasockets, netdata, ss in a loop, and raindrops. What is
unpacked below PEERS_ROOT (conf/packaging/packages.sh) lies over the system, for its own program alone.
"""

import collections
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request

import processes
from collectd import Collectd
from listeners import Listener, UnixListener
from net_namespaces import NetNamespace
from waiting import wait_until

INTERVAL = 10  # seconds, but for raindrops and netdata, which are used with one
SO_MEMINFO, MEMINFO_DROPS = 55, 8
NAMESPACE = "peers"
UNIX_LIMIT = 4

# An overlay's upper folder has to be on a file system of another kind.
OVERLAY = """set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
for folder in etc usr var; do
  mkdir /mnt/$folder /mnt/$folder.work
  mount -t overlay overlay -o lowerdir=$PEERS_ROOT/$folder:/$folder,upperdir=/mnt/$folder,workdir=/mnt/$folder.work /$folder
done
mount -t tmpfs tmpfs /run
"""
# By default pmdasockets asks for all states, and a connection takes the place of its listener: both have the local
# address for a name.
PCP = OVERLAY + """
echo state listening >/etc/pcp/sockets/filter.conf
mkdir -p /run/pcp /var/log/pcp/pmcd /var/lib/pcp/tmp
echo pcp:x:64911:64911::/:/bin/false >>/etc/passwd
echo pcp:x:64911: >>/etc/group
chown -R pcp:pcp /var/log/pcp /var/lib/pcp /run/pcp
cd "$OUT"  # where each agent writes its log
(cd /var/lib/pcp/pmns && ./Rebuild -us)
/usr/lib/pcp/bin/pmcd -f -l "$OUT/pmcd.log" &
until pminfo -h local: pmcd.version; do sleep 0.2; done
(cd /var/lib/pcp/pmdas/sockets && ./Install </dev/null)
pmlogger -h local: -c "$OUT/pmlogger.conf" "$OUT/archive" &
logger=$!
touch "$OUT/ready"
until [ -e "$OUT/stop" ]; do sleep 0.5; done
kill $logger
wait $logger || true
pmdumplog "$OUT/archive" >"$OUT/values"
touch "$OUT/done"
sleep 60
"""
PMLOGGER = f"""log mandatory on every {INTERVAL} seconds {{
  network.persocket.recvq
  network.persocket.sendq
  network.persocket.skmem.sock_drop
  network.tcp.listenoverflows
  network.tcp.listendrops
}}
"""
NETDATA = OVERLAY + """
mkdir -p "$OUT/cache" "$OUT/lib" "$OUT/log"
exec netdata -D -c "$OUT/netdata.conf"
"""
NETDATA_CONF = """[global]
  run as user = root
[directories]
  cache = {out}/cache
  lib = {out}/lib
  log = {out}/log
[db]
  mode = alloc
[web]
  bind to = 127.0.0.1:19999
"""
NETDATA_API = "http://127.0.0.1:19999/api/v1/"
SS = f"while :; do ss -lntmHO; ss -lxH; sleep {INTERVAL}; done"
RAINDROPS = """require "raindrops"
$stdout.sync = true
loop do
  [Raindrops::Linux.tcp_listener_stats, Raindrops::Linux.unix_listener_stats].each do |stats|
    stats.each { |name, listener| puts "#{name} #{listener.queued}" }
  end
  sleep 1
end
"""

Truth = collections.namedtuple("Truth", "peak limit drops")
# What is known of one listener; None: nothing. said: in words.
Seen = collections.namedtuple("Seen", "peak limit drops said", defaults=(None, None, None, None))


class Incident:
    """Listeners of one name and what happens to them; tick() is called every 10 ms or so."""

    def __init__(self, title, listeners, tick, every):
        self.title = title
        self.listeners = listeners
        self.peak = self.refused = self.ticks = 0
        self._tick = tick
        self._every = every
        self._due = time.monotonic()

    @property
    def is_unix(self):
        return isinstance(self.listeners[0], UnixListener)

    @property
    def where(self):
        """As most of them write it."""
        first = self.listeners[0]
        return first.address.replace("\0", "@") if self.is_unix else f"{first.address}:{first.port}"

    @property
    def name(self):
        return self.listeners[0].name

    def tick(self):
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._every
        self._tick(self)
        self.ticks += 1
        self.peak = max(self.peak, sum(each.length for each in self.listeners))

    def accept(self, count=1 << 30):
        """From the first one."""
        first = self.listeners[0]
        for _ in range(min(count, first.length)):
            first.accept()

    def recover(self):
        for listener in self.listeners:
            listener.drop_clients()
            listener.accept(listener.length)

    def truth(self):
        if self.is_unix:
            return Truth(self.peak, UNIX_LIMIT, self.refused)
        if self._tick is defer:  # sk_drops rises at each of its healthy connections
            return Truth(self.peak, self.listeners[0].limit, 0)
        drops = [struct.unpack_from("=9I", each.socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[MEMINFO_DROPS]
                 for each in self.listeners]
        return Truth(self.peak, sum(each.limit for each in self.listeners), sum(drops))


def burst(incident):
    """Every seventh second 40 clients at once, while the server is away for 50 ms."""
    at = incident.ticks % 700
    if at == 0:
        incident.listeners[0].drop_clients()
        incident.listeners[0].connect(40)
    elif at > 5:
        incident.accept()


def stop(incident):
    if incident.ticks == 0:
        incident.listeners[0].connect(5)


def overload(incident):
    """20 a second come, 10 are accepted."""
    listener = incident.listeners[0]
    if len(listener.clients) > 300:
        listener.clients.pop(0).close()
    listener.connect()
    if incident.ticks % 2:
        incident.accept(1)


def refuse(incident):
    """A Unix listener that is full, and a client each second."""
    listener = incident.listeners[0]
    if incident.ticks == 0:
        listener.connect(UNIX_LIMIT + 1)
    incident.refused += 1 - listener.connect(1)
    while len(listener.clients) > 20:
        listener.clients.pop().close()


def skew(incident):
    """One of four processes does not accept any more; clients come to all."""
    incident.listeners[0].connect()
    for listener in incident.listeners[1:]:
        for _ in range(listener.length):
            listener.accept()
    while len(incident.listeners[0].clients) > 300:
        incident.listeners[0].clients.pop(0).close()


def defer(incident):
    """Healthy: a server with TCP_DEFER_ACCEPT, and clients whose requests come 50 ms after their SYNs."""
    listener = incident.listeners[0]
    if incident.ticks % 3 == 0:
        listener.drop_clients()
        listener.connect()
    elif incident.ticks % 3 == 1:
        with contextlib.suppress(OSError):
            listener.clients[0].send(b"x")
    else:
        incident.accept()


class Peer:
    """A program in a pid namespace of its own, so that all of it ends with the bench."""

    title = ""
    every = f"{INTERVAL} s"

    def __init__(self, folder):
        self.out = pathlib.Path(folder, self.title.replace(" ", "-"))
        self.out.mkdir()
        self.start()

    def start(self):
        raise NotImplementedError

    def spawn(self, *command, is_laid_over=False):
        wrapper = ["unshare", "--pid", "--fork", "--kill-child"]
        wrapper += ["--mount", "--mount-proc"] if is_laid_over else []
        with open(self.out / "output", "wb") as output, open(self.out / "errors", "wb") as errors:
            self._process = subprocess.Popen([*wrapper, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                                             env=dict(os.environ, OUT=str(self.out)),
                                             preexec_fn=processes.die_with_parent)
        self.pid = self._process.pid

    def output(self):
        return (self.out / "output").read_text(encoding="utf-8", errors="replace")

    def begin(self):
        """What was seen before does not count."""
        self.skipped = len(self.output())

    def note(self):
        """What it says while all is as bad as it gets."""

    def end(self):
        """The last look at what it has."""

    def seen(self, incident):
        """Of one incident."""
        raise NotImplementedError

    def host(self):
        """Of the whole host, in words."""
        return ""

    def close(self):
        self._process.kill()
        self._process.wait()


class Daemon(Peer):
    """A collectd."""

    def start(self):
        self.collectd = self.make()
        self.collectd.start()
        self.pid = self.collectd.pid

    def make(self):
        raise NotImplementedError

    def begin(self):
        self.begun = time.time()

    def values(self, folder, series):
        files = (self.collectd.directory / "csv" / self.collectd.hostname / folder).glob(f"{series}-2*")
        rows = [line.split(",") for file in files for line in file.read_text(encoding="ascii").splitlines()[1:]]
        return [float(value) for when, value in sorted(rows) if float(when) > self.begun]

    def rise(self, folder, series):
        """None if there is no such series."""
        values = self.values(folder, series)
        return values[-1] - values[0] if values else None

    def close(self):
        self.collectd.close()


class Backlog(Daemon):
    title = "backlog"

    def make(self):
        return Collectd(f'NetNamespace "{NAMESPACE}"', interval=INTERVAL)

    def note(self):
        self._said = self.collectd.log()

    def seen(self, incident):
        name = incident.name + (f"__netns_{NAMESPACE}" if incident.title.endswith("namespace") else "")
        folder = f"backlog-{name}"
        peaks = self.values(folder, "queue_length-accept_peak")
        said = re.findall(rf"Notification: .*message = {re.escape(name)}[ :](.*)", self._said)
        limits = self.values(folder, "queue_length-limit")
        return Seen(max(peaks, default=None), max(limits, default=None), self.rise(folder, "packets-dropped"),
                    said[-1] if said else None)

    def host(self):
        return f"{self.rise('backlog-kernel', 'packets-dropped_unattributed'):.0f} drops nobody's"


class Tcpconns(Daemon):
    title = "tcpconns, protocols"

    def make(self):
        return Collectd(interval=INTERVAL, load_backlog=False, config="""
LoadPlugin tcpconns
<Plugin tcpconns>
  ListeningPorts true
</Plugin>
LoadPlugin protocols
<Plugin protocols>
  Value "/^TcpExt:Listen/"
  IgnoreSelected false
</Plugin>""")

    def seen(self, incident):
        if incident.is_unix or not self.values(f"tcpconns-{incident.listeners[0].port}-local", "tcp_connections-LISTEN"):
            return Seen()
        most = max(self.values(f"tcpconns-{incident.listeners[0].port}-local", "tcp_connections-ESTABLISHED"))
        return Seen(said=f"at most {most:.0f} ESTABLISHED")

    def host(self):
        overflows, drops = (self.rise("protocols-TcpExt", f"protocol_counter-Listen{what}")
                            for what in ("Overflows", "Drops"))
        return f"ListenOverflows +{overflows:.0f}, ListenDrops +{drops:.0f}"


class Ss(Peer):
    title = "ss in a loop"

    def start(self):
        self.spawn("bash", "-c", SS)

    def seen(self, incident):
        if incident.is_unix:
            found = re.findall(rf"^u_\w+ +LISTEN +(\d+) +(\d+) +{re.escape(incident.where)} ()", self._new(), re.M)
        else:
            found = re.findall(rf"^LISTEN +(\d+) +(\d+) +{re.escape(incident.where)} .*,d(\d+)\)", self._new(), re.M)
        return seen_in(found, len(incident.listeners))

    def _new(self):
        return self.output()[self.skipped:]


def seen_in(found, members):
    """Of (queue, limit, drops so far) of one look after the other, and of one member after the other."""
    if not found:
        return Seen()
    peak = max(sum(int(queue) for queue, _, _ in found[i:i + members]) for i in range(0, len(found), members))
    drops = None
    if found[0][2]:
        first, last = (sum(int(row[2]) for row in rows) for rows in (found[:members], found[-members:]))
        drops = last - first
    return Seen(peak, sum(int(row[1]) for row in found[:members]), drops)


class Raindrops(Peer):
    title = "raindrops"
    every = "1 s"

    def start(self):
        (self.out / "loop.rb").write_text(RAINDROPS, encoding="ascii")
        self.spawn("ruby", self.out / "loop.rb")

    def seen(self, incident):
        found = re.findall(rf"^{re.escape(incident.where)} (\d+)$", self.output()[self.skipped:], re.M)
        return Seen(max(map(int, found), default=None))


class Pcp(Peer):
    title = "PCP"

    def start(self):
        (self.out / "pmlogger.conf").write_text(PMLOGGER, encoding="ascii")
        self.spawn("sh", "-c", PCP, is_laid_over=True)
        wait_until((self.out / "ready").exists, 120, "PCP")

    def begin(self):
        self.begun = time.strftime("%H:%M:%S")

    def end(self):
        (self.out / "stop").touch()
        wait_until((self.out / "done").exists, 60, "PCP's archive")
        self._values = collections.defaultdict(list)  # {(metric, instance): [value]}
        when = metric = ""
        for line in (self.out / "values").read_text(encoding="utf-8", errors="replace").splitlines():
            if begins := re.match(r"(\d\d:\d\d:\d\d)\.\d+", line):
                when = begins[1]
            elif named := re.match(r" +[\d.]+ \((.+?)\): ?(?:value (\d+))?", line):
                metric = named[1]
                if named[2] and when >= self.begun:
                    self._values[metric, ""].append(int(named[2]))
            elif (instance := re.match(r' +inst \[\d+ or "(.+)"\] value (\d+)', line)) and when >= self.begun:
                self._values[metric, instance[1]].append(int(instance[2]))

    def seen(self, incident):
        columns = [self._values[f"network.persocket.{metric}", f"tcp/{incident.where}"]
                   for metric in ("recvq", "sendq", "skmem.sock_drop")]
        if not all(columns):
            return Seen()
        return Seen(max(columns[0]), max(columns[1]), columns[2][-1] - columns[2][0])

    def host(self):
        rises = []
        for metric in ("listenoverflows", "listendrops"):
            values = self._values[f"network.tcp.{metric}", ""]
            rises.append(f"{metric} +{values[-1] - values[0]}" if values else f"no {metric}")
        return ", ".join(rises)


class Netdata(Peer):
    title = "netdata"
    every = "1 s"

    def start(self):
        (self.out / "netdata.conf").write_text(NETDATA_CONF.format(out=self.out), encoding="ascii")
        self.spawn("sh", "-c", NETDATA, is_laid_over=True)
        wait_until(lambda: self._ask("info"), 60, "netdata")

    @staticmethod
    def _ask(what):
        try:
            with urllib.request.urlopen(NETDATA_API + what, timeout=10) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def begin(self):
        self.begun = time.time()

    def end(self):
        after = int(self.begun - time.time())
        self._queue = self._ask(f"data?chart=ip.tcp_accept_queue&after={after}&format=json")
        self._alarms = {each["name"] for each in self._ask("alarm_log") or [] if "tcp" in each["name"]
                        and each["status"] in ("WARNING", "CRITICAL") and each["when"] > self.begun}

    def seen(self, incident):
        return Seen()

    def host(self):
        rows = (self._queue or {}).get("data")
        counted = "no ip.tcp_accept_queue"
        if rows:
            sums = [sum(value or 0 for value in column) for column in list(zip(*rows))[1:]]
            counted = ", ".join(f"{label} +{each:.0f}" for label, each in zip(self._queue["labels"][1:], sums))
        return f"{counted}; alarms: {', '.join(sorted(self._alarms)) or 'none'}"


PEERS = (Backlog, Tcpconns, Ss, Raindrops, Pcp, Netdata)


def descendants(pid):
    """Of all that are there: (CPU seconds, with those of children that have ended; resident bytes)."""
    children, figures = collections.defaultdict(list), {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            children[int(fields[1])].append(int(entry.name))
            figures[int(entry.name)] = (sum(map(int, fields[11:15])), int(fields[21]))
    found, ticks, pages = [pid], 0, 0
    while found:
        each = found.pop()
        found += children[each]
        ticks += figures.get(each, (0, 0))[0]
        pages += figures.get(each, (0, 0))[1]
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")


def missing():
    """Why it cannot be run, or None."""
    root = pathlib.Path(os.environ.get("PEERS_ROOT") or "/")
    for program in ("usr/sbin/netdata", "usr/lib/pcp/bin/pmcd"):
        if not (root / program).exists():
            return f"no {program} below {root}"
    for program in ("ruby", "ss"):
        if not shutil.which(program):
            return f"{program} is not installed"
    return None


class Comparison:
    def __init__(self, programs, seconds):
        self.programs = programs
        self.seconds = seconds

    def run(self):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="collectd-backlog-peers-"))
            self.namespace = NetNamespace(NAMESPACE)
            stack.callback(self.namespace.close)
            self.peers = []
            for kind in PEERS:
                peer = kind(folder)
                stack.callback(peer.close)
                self.peers.append(peer)
            self.compare_costs()
            with self.programs.held(tcp=20):
                self.compare_sights(stack)

    def compare_costs(self):
        """Of a core, of all processes of each."""
        print(f"\n{'CPU of a core; memory':<26}" + "".join(f"{peer.title:>22}" for peer in self.peers))
        print(f"{'looks every':<26}" + "".join(f"{peer.every:>22}" for peer in self.peers))
        for counts in ({"tcp": 10}, {"tcp": 1000}, {"tcp": 10, "connections": 5000}):
            with self.programs.held(**counts):
                time.sleep(INTERVAL + 2)  # until what is new is known to all
                before, begin = [descendants(peer.pid)[0] for peer in self.peers], time.monotonic()
                time.sleep(self.seconds / 5)
                after, passed = [descendants(peer.pid) for peer in self.peers], time.monotonic() - begin
            title = f"{counts['tcp']} listeners" + (f", {counts['connections']} conn." if "connections" in counts else "")
            print(f"{title:<26}" + "".join(f"{f'{100 * (cpu - was) / passed:.2f} %; {size / 1e6:.0f} MB':>22}"
                                           for was, (cpu, size) in zip(before, after)), flush=True)

    def incidents(self, stack):
        def held(listener):
            stack.callback(listener.close)
            return listener
        group = [held(Listener(limit=8, reuse_port=True))]
        group += [held(Listener(port=group[0].port, limit=8, reuse_port=True)) for _ in range(3)]
        with self.namespace.entered():
            inside = held(Listener(limit=4))
        deferring = held(Listener(limit=64))
        deferring.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
        return [Incident("bursts of 40", [held(Listener(limit=16))], burst, 0.01),
                Incident("server stopped", [held(Listener(limit=128))], stop, 1),
                Incident("server too slow", [held(Listener(limit=8))], overload, 0.05),
                Incident("one of four stuck", group, skew, 0.1),
                Incident("Unix queue full", [held(UnixListener(f"\0peers-{os.getpid()}", limit=UNIX_LIMIT))], refuse, 1),
                Incident("overload in a namespace", [inside], self.inside(overload), 0.05),
                Incident("healthy, deferring", [deferring], defer, 0.05)]

    def inside(self, tick):
        def entered(incident):
            with self.namespace.entered():
                tick(incident)
        return entered

    def compare_sights(self, stack):
        incidents = self.incidents(stack)
        for peer in self.peers:
            peer.begin()
        time.sleep(INTERVAL + 2)  # each has looked at them at rest
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            for incident in incidents:
                incident.tick()
            time.sleep(0.005)
        for peer in self.peers:
            peer.note()
        # What is left of the clients could be dropped for a long time.
        end = time.monotonic() + INTERVAL + 2
        while time.monotonic() < end:
            for incident in incidents:
                if not incident.is_unix:
                    incident.recover()
            time.sleep(0.02)
        for peer in self.peers:
            peer.end()
        self.print_sights(incidents, [incident.truth() for incident in incidents])

    def print_sights(self, incidents, truths):
        def shown(value):
            return "-" if value is None else f"{value:.0f}"
        # sk_drops counts some segments that ListenDrops does not.
        print(f"\n{'peak / limit / drops':<26}{'true (sk_drops)':>16}" + "".join(f"{peer.title:>22}" for peer in self.peers))
        words = []
        for incident, truth in zip(incidents, truths):
            row = [peer.seen(incident) for peer in self.peers]
            words += [f"{incident.title}: {peer.title}: {seen.said}" for peer, seen in zip(self.peers, row) if seen.said]
            print(f"{incident.title:<26}{' / '.join(map(shown, truth)):>16}"
                  + "".join(f"{' / '.join(map(shown, seen[:3])):>22}" for seen in row))
        print(*("", *words, *(f"the host: {peer.title}: {peer.host()}" for peer in self.peers if peer.host())),
              sep="\n", flush=True)
