#pragma once

#include <check.h>
#include <cstdlib>
#include <string>

#undef fail // a macro of check.h, and a member of std::ios

/// For one test, with sanitizers and on a busy machine too.
constexpr double patience_seconds = 60;

/// ck_assert_str_eq() for texts that live no longer than the line.
inline void assert_text(const std::string &actual, const std::string &expected) {
  ck_assert_msg(actual == expected, "\"%s\" is not \"%s\"", actual.c_str(), expected.c_str());
}

/// Runs the program's test cases; its exit status is main()'s.
template <class... TestFunctions> int run_tests(const char *name, TestFunctions... tests) {
  Suite *suite = suite_create(name);
  TCase *cases = tcase_create(name);
  tcase_set_timeout(cases, patience_seconds);
  (tcase_add_test(cases, tests), ...);
  suite_add_tcase(suite, cases);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  const int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
