#include "own_folder.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace backlog {

namespace {

constexpr int most_links = 40; // like the kernel's MAXSYMLINKS
constexpr mode_t others_write = S_IWGRP | S_IWOTH;

UniqueFd open_part(int at, const char *name) {
  return UniqueFd(::openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

/// Removes the first part of the path and the slashes around it, and returns it; "" if there is
/// none.
std::string cut_part(std::string &path) {
  const std::size_t begin = std::min(path.find_first_not_of('/'), path.size());
  const std::size_t end = std::min(path.find('/', begin), path.size());
  std::string part = path.substr(begin, end - begin);
  path.erase(0, std::min(path.find_first_not_of('/', end), path.size()));
  return part;
}

class Walk {
public:
  explicit Walk(const std::string &path) : path_(path), rest_(path) {}

  Result<UniqueFd> run() {
    if (Failure failure = begin())
      return *failure;
    while (!rest_.empty())
      if (Failure failure = step())
        return *failure;
    if (here_status_.st_uid != ::geteuid())
      return refused("folder " + path_ + " belongs to another user");
    if ((here_status_.st_mode & others_write) != 0)
      return refused("folder " + path_ + " is writable by others");
    return std::move(here_);
  }

private:
  static Error refused(std::string why) { return {EPERM, std::move(why)}; }
  Error error(int code) const { return {code, "open folder " + path_}; }
  bool is_trusted(const struct stat &status) const {
    return status.st_uid == root_owner_ || status.st_uid == ::geteuid();
  }

  Failure begin() {
    struct stat root {};
    if (::stat("/", &root) != 0)
      return error(errno);
    root_owner_ = root.st_uid;
    return go_to(open_part(AT_FDCWD, rest_.starts_with('/') ? "/" : "."));
  }

  Failure step() {
    const std::string part = cut_part(rest_);
    UniqueFd next = open_part(here_.get(), part.c_str());
    struct stat status {};
    if (!next || ::fstat(next.get(), &status) != 0)
      return error(errno);
    // Whoever can write here can put something else in its place.
    if (Failure failure = check_way())
      return failure;
    if ((here_status_.st_mode & others_write) != 0 && !is_trusted(status))
      return refused("folder " + path_ + ": " + part + " on its path belongs to another user");
    return S_ISLNK(status.st_mode) ? follow(next.get()) : go_to(std::move(next));
  }

  Failure check_way() const {
    if (!is_trusted(here_status_))
      return refused("folder " + path_ + ": a folder on its path belongs to another user");
    if ((here_status_.st_mode & others_write) != 0 && (here_status_.st_mode & S_ISVTX) == 0)
      return refused("folder " + path_ + ": a folder on its path is writable by others");
    return std::nullopt;
  }

  Failure follow(int link) {
    std::array<char, PATH_MAX> target{};
    const ssize_t length = ::readlinkat(link, "", target.data(), target.size());
    if (length < 0)
      return error(errno);
    if (rest_.empty() || ++links_ > most_links)
      return error(ELOOP);
    rest_ = std::string(target.data(), static_cast<std::size_t>(length)) + "/" + rest_;
    return rest_.starts_with('/') ? go_to(open_part(AT_FDCWD, "/")) : std::nullopt;
  }

  Failure go_to(UniqueFd folder) {
    if (!folder || ::fstat(folder.get(), &here_status_) != 0)
      return error(errno);
    if (!S_ISDIR(here_status_.st_mode))
      return error(ENOTDIR);
    here_ = std::move(folder);
    return std::nullopt;
  }

  const std::string &path_;
  std::string rest_; ///< rest of the path, with links resolved
  UniqueFd here_;
  struct stat here_status_ {};
  uid_t root_owner_ = 0;
  int links_ = 0;
};

} // namespace

Result<UniqueFd> open_own_folder(const std::string &path) { return Walk(path).run(); }

} // namespace backlog
