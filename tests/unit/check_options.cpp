#include "options.h"
#include "test_program.h"

#include <string>
#include <vector>

using namespace backlog;

START_TEST(defaults) {
  const ParsedOptions parsed = parse_options({});
  ck_assert(parsed.options && !parsed.failed && parsed.output.empty());
  assert_text(parsed.options->table, "/run/collectd-backlog/table");
  assert_text(parsed.options->agentx, "");
  ck_assert(parsed.options->root == (Oid{1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 4242}));
  ck_assert(!parsed.options->foreground);
}
END_TEST

START_TEST(both_forms_of_values) {
  const ParsedOptions parsed = parse_options({"--table=/x", "--agentx", "tcp:localhost:705",
                                              "--root=.1.3.6.1.4.1.32473.77", "--foreground"});
  ck_assert(parsed.options.has_value());
  assert_text(parsed.options->table, "/x");
  assert_text(parsed.options->agentx, "tcp:localhost:705");
  ck_assert(parsed.options->root == (Oid{1, 3, 6, 1, 4, 1, 32473, 77}));
  ck_assert(parsed.options->foreground);
  for (const std::vector<std::string> &arguments : std::vector<std::vector<std::string>>{
           {"-f", "/x"}, {"-f/x"}, {"--table", "/x"}, {"--table=/x"}, {"--tab=/x"}})
    assert_text(parse_options(arguments).options->table, "/x");
}
END_TEST

START_TEST(mistakes_name_the_option) {
  for (const auto &[arguments, wanted] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--tabel", "x"}, "--tabel"},
           {{"x"}, "x"},
           {{"--table"}, "--table"},
           {{"--table="}, "--table"},
           {{"-f"}, "-f"},
           {{"-q"}, "-q"},
           {{"--table", "x", "--tabel=y"}, "--tabel=y"},
           {{"--root", "1.3.x"}, "1.3.x"},
           {{"--root", "backlogRoot"}, "--root"},
           {{"--root", "1"}, "--root"},
           {{"--root", "1.3."}, "--root"},
           {{"--root", "1..3"}, "--root"},
           {{"--root", "1.3.4294967296"}, "--root"},
           {{"--root", "3.1"}, "--root"},
           {{"--foreground=yes"}, "--foreground=yes"}}) {
    const ParsedOptions parsed = parse_options(arguments);
    ck_assert(parsed.failed && !parsed.options);
    ck_assert_msg(parsed.output.find(wanted) != std::string::npos, "%s", parsed.output.c_str());
  }
}
END_TEST

START_TEST(help_and_version_end_well) {
  for (const char *option : {"--help", "-h", "--version", "-V"}) {
    const ParsedOptions parsed = parse_options({option});
    ck_assert(!parsed.failed && !parsed.options && !parsed.output.empty());
  }
}
END_TEST

int main() {
  return run_tests("options", defaults, both_forms_of_values, mistakes_name_the_option,
                   help_and_version_end_well);
}
