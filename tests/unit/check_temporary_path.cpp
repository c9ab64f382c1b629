#include "temporary_path.h"
#include "test_program.h"

#include <array>
#include <random>
#include <string>
#include <string_view>

using namespace backlog;

START_TEST(temporary_ones) {
  for (const char *path : {
           "/tmp/ssh-XXfQwqbD8sAl/agent.2417",
           "/tmp/ssh-a1B2c3/socket",
           "/run/user/1000/agent.12",
           "/run/haproxy/admin.sock.1234.tmp",
           "/run/haproxy/admin.sock.1234.bak",
           "/tmp/tmp8f3k2q1x/sock",
           "/run/app/tmp_bcdefgh/sock",
           "/tmp/.org.chromium.Chromium.hE3xYz/SingletonSocket",
           "/tmp/pulse-PKdhtXMmr18n/native",
           "/tmp/dbus-4fH7sKq2Lp",
           "/var/tmp/build.k3j2h1/s",
           "/run/w.aB3xYz/app.sock",
           "/home/me/.ssh/agent/s.Zk3Qw9Lx2P.agent.q1W2e3R4t5",
       })
    ck_assert_msg(is_temporary_path(path), "%s", path);
}
END_TEST

START_TEST(those_of_services) {
  for (const char *path : {
           "",
           "/",
           "/run/php/php8.2-fpm.sock",
           "/run/mysqld/mysqld.sock",
           "/tmp/mysql.sock",
           "/tmp/.s.PGSQL.5432",
           "/var/run/postgresql/.s.PGSQL.5432",
           "/tmp/.X11-unix/X0",
           "/tmp/.ICE-unix/1234",
           "/tmp/tmux-1000/default",
           "/run/docker.sock",
           "/run/containerd/containerd.sock.ttrpc",
           "/run/systemd/userdb/io.systemd.DynamicUser",
           "/run/systemd/userdb/io.systemd.NameServiceSwitch",
           "/run/NetworkManager/private-dhcp",
           "/run/dbus/system_bus_socket",
           "/run/gunicorn/app1.sock",
           "/run/redis-server6380/redis-server.sock",
           "/run/web1app2/sock",
           "/run/agent.sock",
           "/run/agent.d/1",
           "/run/app.1/socket.2",
           "/run/user/1000/bus",
           "/run/fail2ban/fail2ban.sock",
           "/run/x86_64/app.sock",
           "/tmp/server2/sock",
           "/tmp/HTTPSERVER/sock",
           "/tmp/MyServer/sock",
           "/tmp/tmpservice/sock",
           "/var/lib/lxd/unix.socket",
           "/run/clamav/clamd.ctl",
           "/run/uwsgi/app/example.com/socket",
           "/run/rpcbind.sock",
           "/run/lvm/lvmpolld.socket",
       })
    ck_assert_msg(!is_temporary_path(path), "%s", path);
}
END_TEST

START_TEST(most_of_what_mkdtemp_makes) {
  constexpr std::string_view letters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::minstd_rand random(1);
  std::uniform_int_distribution<std::size_t> any(0, letters.size() - 1);
  struct Case {
    const char *before;
    int least; ///< of 1000
  };
  for (const Case &c : {Case{"/tmp/", 880}, {"/tmp/app-", 880}, {"/run/app.", 600}}) {
    int found = 0;
    for (int i = 0; i < 1000; ++i) {
      std::string path = c.before;
      for (int character = 0; character < 6; ++character)
        path += letters[any(random)];
      found += static_cast<int>(is_temporary_path(path + "/sock"));
    }
    ck_assert_msg(found >= c.least, "%s: %d", c.before, found);
  }
}
END_TEST

int main() {
  return run_tests("temporary_path", temporary_ones, those_of_services, most_of_what_mkdtemp_makes);
}
