#include "table_access.h"

#include <cerrno>
#include <cstring>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace backlog {

namespace {

// The name in the packages and in the example of TableGroup.
constexpr const char *usual_group = "backlog";

std::string user_name() {
  const passwd *user = ::getpwuid(::geteuid());
  return user != nullptr ? user->pw_name : std::to_string(::geteuid());
}

/// The group of the file; "" for root's, or if unknown.
std::string group_name(const std::string &path) {
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0 || file.st_gid == 0)
    return "";
  const group *found = ::getgrgid(file.st_gid);
  return found != nullptr ? found->gr_name : std::to_string(file.st_gid);
}

std::string how_to_get_access(const std::string &path) {
  std::string group = group_name(path);
  std::string advice;
  if (group.empty()) {
    group = usual_group;
    advice = "give the table to a group (TableGroup \"" + group +
             "\" in collectd's configuration), then ";
  }
  return "; " + advice + "add the user to it: adduser " + user_name() + " " + group +
         ", and restart what runs this command";
}

} // namespace

std::string why_unreadable(const std::string &path, const std::string &refusal) {
  std::string text = path + ": " + refusal;
  if (refusal == std::strerror(ENOENT))
    text += "; is collectd running with the plugin backlog? backlog-table --live works without";
  else if (refusal == std::strerror(EACCES))
    text += how_to_get_access(path);
  else if (refusal.starts_with("has layout version") || refusal == "has records of other sizes")
    text += "; restart collectd, which after an upgrade keeps the old plugin until then";
  return text;
}

} // namespace backlog
