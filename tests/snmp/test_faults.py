#!/usr/bin/env python3
"""What goes wrong: snmpd late, killed, stopped and full; a second subagent; a master that breaks
the protocol; tables that are damaged, hostile or missing."""

import os
import random
import shutil
import signal
import socket
import stat
import struct
import threading
import time
import unittest

import snmp_harness
from snmp_harness import MIB_OID, SnmpTest, table_writer
from collectd import sanitizers
from waiting import wait_until

END_LIMIT = 3.0  # seconds: 2 of the subagent's, and what a busy host and a sanitizer add


class SnmpdFaultsTest(SnmpTest):
    def setUp(self):
        super().setUp()
        self.publish([table_writer.listener("a")], interval=600)

    def wait_for_mib(self):
        wait_until(lambda: self.answers(f"{MIB_OID}.1.1.1.0"), 20, "the MIB")

    def test_snmpd_comes_late_and_is_restarted(self):
        subagent = self.start_subagent(wait=False)
        wait_until(lambda: "no SNMP agent answers" in subagent.output(), what="the line about it")
        self.start_snmpd()
        self.wait_for_mib()
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
            self.snmpd.stop(number)
            self.start_snmpd()
            self.wait_for_mib()
            wait_until(lambda: "The accept queues of listening sockets." in self.ask("snmpwalk", "-Oqv", "1.3.6.1.2.1.1.9.1.3"),
                       what="its line in sysORTable")
        descriptors = len(os.listdir(f"/proc/{subagent.pid}/fd"))
        self.snmpd.send_signal(signal.SIGHUP)
        self.wait_for_mib()
        wait_until(lambda: len(os.listdir(f"/proc/{subagent.pid}/fd")) <= descriptors, what="no more descriptors")
        lines = subagent.output().splitlines()
        self.assertEqual(len(lines), 8, lines)  # absent, connected, and for each restart gone and connected
        self.assertLess(subagent.stop(), END_LIMIT)

    def test_the_end_is_bounded_while_snmpd_is_stopped(self):
        self.start_snmpd()
        subagent = self.start_subagent()
        self.snmpd.send_signal(signal.SIGSTOP)
        self.assertLess(subagent.stop(), END_LIMIT)
        self.assertEqual(subagent.process.returncode, 0)

    def test_a_stopped_snmpd_is_found_again(self):
        self.start_snmpd()
        subagent = self.start_subagent()
        self.snmpd.send_signal(signal.SIGSTOP)
        wait_until(lambda: "is gone" in subagent.output(), 20, "the loss of snmpd")
        self.snmpd.send_signal(signal.SIGCONT)
        self.wait_for_mib()

    def test_the_backlog_of_agentx_is_full(self):
        self.start_snmpd()
        self.snmpd.send_signal(signal.SIGSTOP)
        clients = []
        try:
            while True:
                client = socket.socket(socket.AF_UNIX)
                clients.append(client)
                client.setblocking(False)
                client.connect(self.agentx_address)
        except BlockingIOError:
            pass
        subagent = self.start_subagent(wait=False)
        blocked = f"/proc/{subagent.pid}/task"
        wait_until(lambda: any("unix_wait_for_peer" in self.wchan(f"{blocked}/{task}") or self.in_connect(f"{blocked}/{task}")
                               for task in os.listdir(blocked)), what="a connect() that waits")
        self.assertLess(subagent.stop(), END_LIMIT)
        for client in clients:
            client.close()

    @staticmethod
    def wchan(task):
        with open(f"{task}/wchan", encoding="ascii") as file:
            return file.read()

    @staticmethod
    def in_connect(task):
        with open(f"{task}/syscall", encoding="ascii") as file:
            return file.read().split()[0] == {"x86_64": "42", "aarch64": "203"}.get(os.uname().machine)

    def test_a_second_subagent_waits_for_its_turn(self):
        self.start_snmpd()
        first = self.start_subagent()
        second = self.start_subagent(wait=False, name="second.log")
        wait_until(lambda: "refuses to register" in second.output(), what="the refusal")
        wait_until(lambda: self.snmpd.output().count("duplicate registration") >= 3, what="two more refusals")
        self.assertNotIn("has registered", second.output())
        self.wait_for_mib()
        second.stop()
        self.wait_for_mib()
        second = self.start_subagent(wait=False, name="third.log")
        wait_until(lambda: "refuses to register" in second.output(), what="the refusal of another")
        first.stop()
        wait_until(lambda: "has registered the MIB" in second.output(), what="the turn of the second")
        self.wait_for_mib()

    @unittest.skipIf(sanitizers(), "a sanitizer has an operator new of its own")
    def test_memory_that_runs_out(self):
        self.start_snmpd()
        rate, failed = self.directory / "rate", self.directory / "failed"
        subagent = self.start_subagent(before=[
            "env", f"LD_PRELOAD={os.environ['SHORT_MEMORY']}", f"SHORT_MEMORY_RATE={rate}",
            f"SHORT_MEMORY_FAILED={failed}"])
        for permille in (10, 300):
            before = failed.stat().st_size if failed.exists() else 0
            rate.write_text(str(1000 * permille), encoding="ascii")
            end = time.monotonic() + 3
            while time.monotonic() < end or failed.stat().st_size < before + 20:
                state = random.choice(["overflow", "ok"])
                self.publish([table_writer.listener("a", state=state)], interval=600)
                self.ask("snmpbulkwalk", "-OQ", MIB_OID, check=False)
                self.assertTrue(subagent.running(), subagent.output())
            rate.unlink()
            self.publish([table_writer.listener("b")], interval=600)
            wait_until(lambda: "b" in self.ask("snmpwalk", "-Oqv", f"{MIB_OID}.1.2.1.2", check=False), 20, "the new table")
        self.assertIn("an action failed and will be repeated: std::bad_alloc", subagent.output())

    def test_the_subagent_is_stopped(self):
        self.start_snmpd("agentXTimeout 1\nagentXRetries 0")
        subagent = self.start_subagent()
        subagent.send_signal(signal.SIGSTOP)
        self.ask("snmpget", f"{MIB_OID}.1.1.1.0", check=False)
        wait_until(lambda: self.answers("1.3.6.1.2.1.1.3.0"), what="an answer of snmpd's own")
        subagent.send_signal(signal.SIGCONT)
        self.wait_for_mib()


class Master(threading.Thread):
    """An AgentX master that answers as a test wants; the little of RFC 2741 that it takes."""

    RESPONSE, OPEN, REGISTER, PING, NOTIFY, GET, GET_NEXT = 18, 1, 3, 13, 12, 5, 6

    def __init__(self, address, answer):
        super().__init__(daemon=True)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(address)
        self.server.listen(5)
        self.answer = answer
        self.types = []
        self.connections = 0

    def run(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                try:
                    self.serve(connection)
                except OSError:
                    pass

    def serve(self, connection):
        buffer = b""
        while True:
            data = connection.recv(65536)
            if not data:
                return
            buffer += data
            while len(buffer) >= 20:
                length = struct.unpack(("=" if buffer[2] & 0x10 == 0 else ">") + "I", buffer[16:20])[0]
                if len(buffer) < 20 + length:
                    break
                pdu, buffer = buffer[:20 + length], buffer[20 + length:]
                self.types.append(pdu[1])
                if self.answer(self, connection, pdu) is False:
                    return

    @staticmethod
    def response(pdu, error=0, session=7):
        order = ">" if pdu[2] & 0x10 else "="
        transaction, packet = struct.unpack(order + "II", pdu[8:16])
        return struct.pack(order + "BBBBIIIIIHH", 1, Master.RESPONSE, pdu[2] & 0x10, 0, session, transaction, packet, 8,
                           100, error, 0)

    @staticmethod
    def request(pdu, kind, count):
        """Of a name below the MIB that has so many sub-identifiers."""
        order = ">" if pdu[2] & 0x10 else "="
        base = [int(number) for number in MIB_OID.split(".")]
        name = base + [1] * (count - len(base))
        ranges = struct.pack(f"{order}BBBB{count}I", count, 0, 0, 0, *name) + bytes(4)
        return struct.pack(order + "BBBBIIII", 1, kind, pdu[2] & 0x10, 0, 7, count, count, len(ranges)) + ranges

    @staticmethod
    def notification(pdu):
        """The last number of the notification's name: 1 alarm, 2 clear, 3 stale, 4 current."""
        name = 24  # the OID snmpTrapOID.0, behind the header and what a variable begins with
        value = name + 4 * (1 + pdu[name])
        end = value + 4 * (1 + pdu[value])
        return struct.unpack((">" if pdu[2] & 0x10 else "=") + "I", pdu[end - 4:end])[0]

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()


class MasterFaultsTest(SnmpTest):
    def setUp(self):
        super().setUp()
        self.publish([table_writer.listener("a")], interval=600)

    def run_against(self, answer, enough):
        master = Master(self.agentx_address, answer)
        master.start()
        self.addCleanup(master.close)
        subagent = self.start_subagent(wait=False)
        wait_until(lambda: enough(master), 30, "what the master waits for")
        self.assertTrue(subagent.running(), subagent.output())
        self.assertLess(subagent.stop(), END_LIMIT)

    def test_byte_by_byte(self):
        def answer(master, connection, pdu):
            for byte in master.response(pdu):
                connection.send(bytes([byte]))
        self.run_against(answer, lambda master: Master.PING in master.types)

    def test_names_longer_than_any_of_snmp(self):
        """MAX_OID_LEN is 128; an AgentX name has up to 255."""
        asked = [(kind, count) for kind in (Master.GET, Master.GET_NEXT) for count in (128, 129, 138, 140, 255)]
        waiting, answered = list(asked), []
        def answer(master, connection, pdu):
            if pdu[1] == Master.RESPONSE:
                answered.append(pdu)
            else:
                connection.send(master.response(pdu))
            if pdu[1] in (Master.PING, Master.RESPONSE) and waiting:
                connection.send(master.request(pdu, *waiting.pop(0)))
        self.run_against(answer, lambda master: len(answered) == len(asked))

    def test_a_refused_open_is_tried_again(self):
        self.run_against(lambda master, connection, pdu: connection.send(master.response(pdu, error=266)),
                         lambda master: master.types.count(Master.OPEN) >= 2)

    def test_a_refused_registration_is_tried_again(self):
        def answer(master, connection, pdu):
            connection.send(master.response(pdu, error=263 if pdu[1] == Master.REGISTER else 0))
        self.run_against(answer, lambda master: master.types.count(Master.REGISTER) >= 3)

    def test_closing_after_each_kind_of_pdu(self):
        kinds = [Master.OPEN, Master.REGISTER, Master.PING]
        def answer(master, connection, pdu):
            if kinds and pdu[1] == kinds[0]:
                kinds.pop(0)
                return False
            connection.send(master.response(pdu))
            return True
        self.run_against(answer, lambda master: not kinds and master.connections >= 4)

    def test_damaged_answers(self):
        chance = random.Random(5)
        sent = []
        def answer(master, connection, pdu):
            response = bytearray(master.response(pdu))
            if master.connections % 2:
                response[chance.randrange(len(response))] = chance.randrange(256)
                sent.append(1)
            connection.send(response)
            return len(sent) % 3 != 0
        self.run_against(answer, lambda master: master.connections >= 4)

    def told_when_only_the_first_is_answered(self, then):
        """Three notifications; then() is called behind the first, and each later one ends a connection."""
        told = []
        def answer(master, connection, pdu):
            if pdu[1] != Master.NOTIFY:
                connection.send(master.response(pdu))
                return True
            told.append(Master.notification(pdu))
            if len(told) == 1:
                connection.send(master.response(pdu))
                then()
                return True
            return False
        self.run_against(answer, lambda master: len(told) >= 3)
        return told[:3]

    def test_a_clear_without_an_answer_is_sent_again(self):
        self.publish([table_writer.listener("a", state="overflow", severity="warning")], interval=20)
        told = self.told_when_only_the_first_is_answered(
            lambda: self.publish([table_writer.listener("a")], interval=20))
        self.assertEqual(told, [1, 2, 2])

    def test_what_is_answered_is_not_sent_again(self):
        self.publish([table_writer.listener("a", state="overflow", severity="warning")], interval=20)
        told = []
        def answer(master, connection, pdu):
            if pdu[1] == Master.NOTIFY:
                told.append(Master.notification(pdu))
                self.publish([table_writer.listener("a")], interval=20)
            connection.send(master.response(pdu))
            # Closed by the first ping behind the clear.
            return pdu[1] != Master.PING or told != [1, 2] or master.connections > 1
        self.run_against(answer, lambda master: master.connections > 1 and master.types[-1] == Master.PING)
        self.assertEqual(told, [1, 2])

    def test_current_without_an_answer_is_sent_again(self):
        self.publish([table_writer.listener("a")], interval=0.1)
        told = self.told_when_only_the_first_is_answered(
            lambda: self.publish([table_writer.listener("a")], interval=600))
        self.assertEqual(told, [3, 4, 4])

    def test_notifications_keep_their_distance(self):
        count = 60
        self.publish([table_writer.listener(f"l{number}", state="overflow", severity="warning") for number in range(count)],
                     interval=600)
        told = []
        def answer(master, connection, pdu):
            if pdu[1] == Master.NOTIFY:
                told.append(time.monotonic())
            connection.send(master.response(pdu))
        self.run_against(answer, lambda master: len(told) >= count)
        # 4 ms each, but for as many as may be unanswered.
        self.assertGreater(told[-1] - told[0], 0.004 * (count - 10))

    def test_at_most_eight_unanswered(self):
        self.publish([table_writer.listener(f"l{number}", state="overflow", severity="warning") for number in range(50)],
                     interval=600)
        held = []
        def answer(master, connection, pdu):
            if pdu[1] == Master.NOTIFY:
                held.append(time.monotonic())
            else:
                connection.send(master.response(pdu))
        self.run_against(answer, lambda master: len(held) > 8)
        # The ninth goes when the first is given up, which is five seconds after it was sent.
        self.assertGreater(held[8] - held[0], 4)


class TableFaultsTest(SnmpTest):
    def setUp(self):
        super().setUp()
        self.start_snmpd()

    def status(self):
        return self.get(f"{MIB_OID}.1.1.1.0")[0]

    def wait_for_status(self, wanted):
        wait_until(lambda: self.status() == wanted, what=f"the status {wanted}")

    def fault_lines(self, subagent):
        return [line for line in subagent.output().splitlines() if "no table:" in line]

    def test_no_table_then_one_then_none(self):
        subagent = self.start_subagent()
        self.assertEqual(self.status(), "absent")
        self.publish([table_writer.listener("a")], interval=0.5)
        self.wait_for_status("fresh")
        self.table_file.unlink()
        self.wait_for_status("absent")
        self.assertEqual(self.walk(f"{MIB_OID}.1.2"), {})
        self.publish([table_writer.listener("a")], interval=600)
        self.wait_for_status("fresh")
        self.assertEqual(len(self.fault_lines(subagent)), 2)

    def test_rows_go_after_three_intervals(self):
        self.start_subagent()
        begin = time.monotonic()
        self.publish([table_writer.listener("a")], interval=1)
        wait_until(lambda: len(self.walk(f"{MIB_OID}.1.2.1.2")) == 1, what="the row")
        self.wait_for_status("stale")
        self.assertGreater(time.monotonic() - begin, 2.5)
        self.assertEqual(self.walk(f"{MIB_OID}.1.2"), {})
        self.assertGreater(int(self.get(f"{MIB_OID}.1.1.3.0")[0].split()[0]), 2999)

    def test_hostile_files(self):
        good = table_writer.table([table_writer.listener("a"), table_writer.listener("b")])
        name = bytearray(good)
        name[-table_writer.LISTENER.size:-table_writer.LISTENER.size + 104] = b"x" * 104
        files = {
            "magic": b"X" + good[1:], "version": table_writer.table(version=9), "empty": b"", "truncated": good[:-1],
            "longer": good + b"\0", "endless name": bytes(name), "zeros": bytes(100000),
            "counts": good[:28] + b"\xff\xff\xff\xff" + good[32:],
        }
        subagent = self.start_subagent()
        for count, (what, data) in enumerate(files.items(), 2):
            with self.subTest(file=what):
                table_writer.publish(self.table_file, data)
                self.wait_for_status("refused")
                wait_until(lambda: len(self.fault_lines(subagent)) >= count, what="its line")
        self.assertTrue(subagent.running())
        self.publish([table_writer.listener("a")])
        self.wait_for_status("fresh")
        lines = self.fault_lines(subagent)
        self.assertEqual(len(lines), 1 + len(files))  # the first: there was none

    def test_what_is_no_file(self):
        subagent = self.start_subagent()
        def lines(count, last):
            """Several looks later it is still one line for each."""
            wait_until(lambda: len(self.fault_lines(subagent)) == count, what=f"line {count}")
            self.assertEqual(self.status(), "absent" if last.startswith("No such") else "refused")
            time.sleep(1.5)
            self.assertEqual(len(self.fault_lines(subagent)), count)
            self.assertTrue(self.fault_lines(subagent)[-1].endswith(last), self.fault_lines(subagent))
        lines(1, "No such file or directory")
        kinds = [(lambda: self.table_file.symlink_to("/etc/passwd"), self.table_file.unlink, "is a symbolic link"),
                 (lambda: self.table_file.symlink_to("/nowhere"), self.table_file.unlink, "is a symbolic link"),
                 (lambda: os.mkfifo(self.table_file), self.table_file.unlink, "is not a regular file"),
                 (self.table_file.mkdir, self.table_file.rmdir, "is not a regular file")]
        for number, (make, remove, line) in enumerate(kinds, 1):
            make()
            lines(2 * number, line)
            remove()
            lines(2 * number + 1, "No such file or directory")
        self.publish([table_writer.listener("a")])
        self.wait_for_status("fresh")
        self.assertEqual(len(self.fault_lines(subagent)), 2 * len(kinds) + 1)

    def test_a_file_that_may_not_be_read(self):
        if shutil.which("setpriv") is None or os.geteuid() != 0:
            self.skipTest("needs root and setpriv")
        self.publish([table_writer.listener("a")], interval=600)
        self.table_file.chmod(0o640)
        for folder in (self.directory, self.table_file.parent):
            folder.chmod(0o755)
        os.chmod(self.agentx_address, stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
        process = self.start_subagent(before=["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
        self.assertEqual(self.status(), "refused")
        self.assertIn("Permission denied", process.output())
        os.chown(self.table_file, -1, 65534)
        table_writer.publish(self.table_file, self.table_file.read_bytes())
        self.table_file.chmod(0o644)
        self.wait_for_status("fresh")


if __name__ == "__main__":
    snmp_harness.main()
