#include "server_settings.h"
#include "test_program.h"

#include <string>
#include <string_view>
#include <vector>

using namespace backlog;

namespace {

std::string initial_for(const ServerSettings &servers, std::string_view owner) {
  const ServerSetting *found = servers.find(owner);
  return found == nullptr ? "" : found->initial;
}

} // namespace

START_TEST(owners_are_found_by_unit_and_by_process) {
  ServerSettings servers;
  ck_assert(servers
                .add("# a comment\n\n nginx | listen backlog=N | 1 | reload\n"
                     "php*-fpm* | listen.backlog = N|2|restart\r\n"
                     "*.socket | Backlog=N | 3 | restart\n"
                     "nginx | never | 4 | restart",
                     "file")
                .empty());
  const struct {
    const char *owner;
    const char *initial;
  } cases[] = {
      {"nginx.service", "1"},
      {"nginx[12]", "1"},
      {"nginx@blue.service", "1"},
      {"nginx", "1"},
      {"php8.2-fpm.service", "2"},
      {"php-fpm8.2[7]", "2"},
      {"sshd.socket", "3"},
      {"nginx2.service", ""},
      {"", ""},
      {"[12]", ""},
      {"*", ""},
  };
  for (const auto &c : cases)
    assert_text(std::string(c.owner) + " " + initial_for(servers, c.owner),
                std::string(c.owner) + " " + c.initial);
}
END_TEST

START_TEST(the_number_stands_where_n_stands_alone) {
  const struct {
    const char *place;
    const char *shown;
  } cases[] = {
      {"backlog=N in nginx.conf", "backlog=546 in nginx.conf"},
      {"ListenBackLog N", "ListenBackLog 546"},
      {"N", "546"},
      {"NN _N N_ N1 xN", "NN _N N_ N1 xN"},
      {"acceptCount=\"N\"", "acceptCount=\"546\""},
      {"no setting", "no setting"},
  };
  for (const auto &c : cases)
    assert_text(ServerSetting{"", c.place, "", ""}.place_of(546), c.shown);
}
END_TEST

START_TEST(wrong_lines_are_named_and_left_out) {
  ServerSettings servers;
  const std::vector<std::string> faults = servers.add("a | b | c\n"
                                                      "b | b | c | d | e\n"
                                                      "c | | c | d\n"
                                                      "d | b | c | d\n"
                                                      "no field",
                                                      "file");
  ck_assert_uint_eq(faults.size(), 4);
  assert_text(faults[0],
              "file line 1: allowed is OWNER | PLACE | DEFAULT | HOW, none of them empty");
  assert_text(faults[3].substr(0, 11), "file line 5");
  assert_text(initial_for(servers, "a"), "");
  assert_text(initial_for(servers, "d"), "c");
  ck_assert(servers.add("", "empty").empty());
}
END_TEST

START_TEST(files) {
  ServerSettings servers;
  ck_assert(servers.add_file("/nonexistent/servers").empty());
  ck_assert_uint_eq(servers.add_file("/").size(), 1);
  ck_assert(servers.add_file(SHIPPED_SERVERS).empty());
  for (const char *owner : {"nginx.service", "apache2.service", "php8.2-fpm.service", "gunicorn[1]",
                            "redis-server.service", "postgresql@15-main.service", "haproxy.service",
                            "node[7]", "mariadb.service", "memcached.service", "uwsgi.service"})
    ck_assert_msg(servers.find(owner) != nullptr, "%s", owner);
}
END_TEST

int main() {
  return run_tests("server_settings", owners_are_found_by_unit_and_by_process,
                   the_number_stands_where_n_stands_alone, wrong_lines_are_named_and_left_out,
                   files);
}
