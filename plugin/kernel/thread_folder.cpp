#include "thread_folder.h"

#include "unique_fd.h"

#include <array>
#include <cstddef>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <string_view>
#include <unistd.h>

namespace backlog {

namespace {

/// The state's letter in /proc/PID/task/TID/stat, behind the name in brackets; 0 if unknown.
char state_of(int at, const std::string &thread) {
  const UniqueFd file(openat(at, (thread + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 128> text{}; // a name has at most 64 bytes with its escapes
  const ssize_t length = file ? read(file.get(), text.data(), text.size()) : -1;
  const std::string_view stat(text.data(), length < 0 ? 0 : static_cast<std::size_t>(length));
  const std::size_t state = stat.rfind(") ");
  return state != std::string_view::npos && state + 2 < stat.size() ? stat[state + 2] : '\0';
}

bool has_ended(char state) { return state == 'Z' || state == 'X'; }

} // namespace

std::string folder_of_other_thread(int at, const std::string &process) {
  const std::string tasks = process + "/task";
  const std::string first = process.substr(process.rfind('/') + 1);
  if (!has_ended(state_of(at, tasks + "/" + first)))
    return "";
  struct Close {
    void operator()(DIR *folder) const { closedir(folder); }
  };
  const int fd = openat(at, tasks.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, Close> folder(fd < 0 ? nullptr : fdopendir(fd));
  if (!folder) {
    if (fd >= 0)
      close(fd);
    return "";
  }
  while (const dirent *entry = readdir(folder.get())) {
    if (entry->d_name[0] == '.' || entry->d_name == first)
      continue;
    std::string thread = tasks + "/" + entry->d_name;
    if (const char state = state_of(at, thread); state != '\0' && !has_ended(state))
      return thread;
  }
  return "";
}

} // namespace backlog
