#include "table_file.h"

#include "own_folder.h"
#include "unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <limits>
#include <numeric>
#include <span>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace backlog {

namespace {

constexpr mode_t file_mode = 0640;

Error error_of(std::string what) { return {errno, std::move(what)}; }

Failure write_all(int fd, std::span<const std::byte> bytes, const std::string &path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return error_of("write " + path);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return std::nullopt;
}

template <class Record>
Failure write_records(int fd, std::span<const Record> records, const std::string &path) {
  return write_all(fd, std::as_bytes(records), path);
}

template <class Record> std::string_view name_of(const Record &record) {
  return layout::text_of(record.name);
}

/// Sorts the namespaces after the own one and adjusts the listeners' positions. If two have one
/// name, the first is kept and gets the listeners of both.
void sort_namespaces(TableContents &contents, std::vector<std::string> &left_out) {
  std::vector<std::uint32_t> order(contents.namespaces.size());
  std::iota(order.begin(), order.end(), 0U);
  const auto name = [&](std::uint32_t i) { return name_of(contents.namespaces[i]); };
  std::stable_sort(order.begin() + 1, order.end(),
                   [&](auto a, auto b) { return name(a) < name(b); });
  constexpr auto nowhere = std::numeric_limits<std::uint32_t>::max();
  std::vector<layout::Namespace> sorted;
  std::vector<std::uint32_t> position(order.size(), nowhere);
  sorted.reserve(order.size());
  for (const std::uint32_t from : order) {
    const layout::Namespace &record = contents.namespaces[from];
    const bool is_own = sorted.empty();
    const bool is_double = !is_own && name_of(sorted.back()) == name_of(record);
    std::string_view fault = layout::fault_of(record);
    if (fault.empty() && is_own != (name_of(record) == layout::own_namespace))
      fault = "is not self";
    if (fault.empty() && !is_double)
      sorted.push_back(record);
    else
      left_out.push_back("net namespace " + std::string(name_of(record)) + " " +
                         std::string(fault.empty() ? "occurs twice" : fault));
    if (fault.empty())
      position[from] = static_cast<std::uint32_t>(sorted.size() - 1);
  }
  contents.namespaces = std::move(sorted);
  for (layout::Listener &listener : contents.listeners)
    listener.net_namespace =
        listener.net_namespace < position.size() ? position[listener.net_namespace] : nowhere;
}

using Waits = std::vector<std::pair<std::string, std::string>>; // names: who, and for whom

/// Takes the positions out, which change when the listeners are sorted.
Waits take_waits(std::vector<layout::Listener> &listeners) {
  Waits waits;
  for (layout::Listener &listener : listeners)
    if (const std::uint32_t position = std::exchange(listener.waits_for, 0);
        position > 0 && position <= listeners.size())
      waits.emplace_back(name_of(listener), name_of(listeners[position - 1]));
  return waits;
}

/// listeners: sorted.
void put_waits(const Waits &waits, std::vector<layout::Listener> &listeners) {
  const auto find = [&](std::string_view name) {
    const auto found = std::lower_bound(
        listeners.begin(), listeners.end(), name,
        [](const auto &listener, std::string_view wanted) { return name_of(listener) < wanted; });
    return found != listeners.end() && name_of(*found) == name ? found : listeners.end();
  };
  for (const auto &[from, to] : waits) {
    const auto waiting = find(from);
    const auto waited_for = find(to);
    if (waiting != listeners.end() && waited_for != listeners.end())
      waiting->waits_for = static_cast<std::uint32_t>(waited_for - listeners.begin()) + 1;
  }
}

void sort_listeners(TableContents &contents, std::vector<std::string> &left_out) {
  std::vector<layout::Listener> &listeners = contents.listeners;
  const Waits waits = take_waits(listeners);
  std::erase_if(listeners, [&](const layout::Listener &record) {
    const std::string_view fault = layout::fault_of(record, contents.namespaces.size());
    if (!fault.empty())
      left_out.push_back("listener " + std::string(name_of(record)) + " " + std::string(fault));
    return !fault.empty();
  });
  const auto by_name = [](const auto &a, const auto &b) { return name_of(a) < name_of(b); };
  if (!std::is_sorted(listeners.begin(), listeners.end(), by_name))
    std::stable_sort(listeners.begin(), listeners.end(), by_name);
  const auto same_name = [&](const auto &a, const auto &b) {
    if (name_of(a) != name_of(b))
      return false;
    left_out.push_back("listener " + std::string(name_of(b)) + " occurs twice");
    return true;
  };
  listeners.erase(std::unique(listeners.begin(), listeners.end(), same_name), listeners.end());
  put_waits(waits, listeners);
}

/// Fails if the rest would not be a table.
Failure complete(TableContents &contents, std::vector<std::string> &left_out) {
  if (const std::string_view fault = layout::fault_of(contents.header); !fault.empty())
    return Error{EINVAL, "header " + std::string(fault)};
  if (contents.namespaces.empty() || contents.namespaces.size() > layout::max_namespaces)
    return Error{EINVAL, std::to_string(contents.namespaces.size()) + " namespaces"};
  if (contents.listeners.size() > layout::max_listeners)
    return Error{E2BIG, std::to_string(contents.listeners.size()) + " listeners"};
  sort_namespaces(contents, left_out);
  if (contents.namespaces.empty())
    return Error{EINVAL, left_out.front()};
  sort_listeners(contents, left_out);

  layout::Header &header = contents.header;
  header.magic = layout::magic;
  header.version = layout::version;
  header.header_bytes = sizeof(layout::Header);
  header.namespace_bytes = sizeof(layout::Namespace);
  header.listener_bytes = sizeof(layout::Listener);
  header.namespaces = static_cast<std::uint32_t>(contents.namespaces.size());
  header.listeners = static_cast<std::uint32_t>(contents.listeners.size());
  return std::nullopt;
}

} // namespace

TableFile::TableFile(std::string path, std::optional<gid_t> group) : group_(group) {
  const std::size_t slash = path.rfind('/');
  folder_ = slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
  name_ = slash == std::string::npos ? std::move(path) : path.substr(slash + 1);
  temporary_name_ = "." + name_ + ".new";
}

Failure TableFile::publish(TableContents &contents, std::vector<std::string> *left_out) {
  std::vector<std::string> refused;
  Failure incomplete = complete(contents, refused);
  if (left_out != nullptr)
    *left_out = std::move(refused);
  if (incomplete)
    return incomplete;
  const Result<UniqueFd> opened = open_own_folder(folder_);
  if (!opened)
    return opened.error();
  const int folder = opened->get();
  const std::optional<Identity> present = identity_of(folder, name_);
  has_rival_ = written_ && present && present != written_;
  written_.reset();
  const Result<UniqueFd> file = write_to(folder, contents);
  Failure failure = file ? replace(folder, *file) : Failure(file.error());
  const bool is_others = failure && failure->code == EBUSY;
  if (failure && !is_others)
    ::unlinkat(folder, temporary_name_.c_str(), 0);
  return failure;
}

std::optional<TableFile::Identity> TableFile::identity_of(int folder, const std::string &name) {
  struct stat file {};
  if (::fstatat(folder, name.c_str(), &file, AT_SYMLINK_NOFOLLOW) != 0)
    return std::nullopt;
  return Identity{file.st_dev, file.st_ino};
}

/// Puts the temporary file in the table's place, unless another process has put its own unfinished
/// one there.
Failure TableFile::replace(int folder, const UniqueFd &file) {
  struct stat own {};
  if (::fstat(file.get(), &own) != 0)
    return error_of("look at " + folder_ + "/" + temporary_name_);
  const Identity identity{own.st_dev, own.st_ino};
  if (identity_of(folder, temporary_name_) != identity) {
    has_rival_ = true;
    return Error{EBUSY, "another process makes " + folder_ + "/" + temporary_name_};
  }
  if (::renameat(folder, temporary_name_.c_str(), folder, name_.c_str()) != 0)
    return error_of("rename to " + folder_ + "/" + name_);
  written_ = identity;
  return std::nullopt;
}

Result<UniqueFd> TableFile::write_to(int folder, const TableContents &contents) {
  const std::string path = folder_ + "/" + temporary_name_;
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd file(::openat(folder, temporary_name_.c_str(), flags, S_IRUSR | S_IWUSR));
  if (!file && errno == EEXIST && ::unlinkat(folder, temporary_name_.c_str(), 0) == 0)
    file = UniqueFd(::openat(folder, temporary_name_.c_str(), flags, S_IRUSR | S_IWUSR));
  if (!file)
    return error_of("make " + path);
  group_refusal_.reset();
  if (group_ && ::fchown(file.get(), static_cast<uid_t>(-1), *group_) != 0) {
    if (errno != EPERM)
      return error_of("give " + path + " to the group");
    group_refusal_ = error_of("collectd is neither root nor in that group");
  }
  if (::fchmod(file.get(), file_mode) != 0)
    return error_of("change mode of " + path);
  if (Failure failure = write_records(file.get(), std::span(&contents.header, 1), path))
    return *failure;
  if (Failure failure =
          write_records(file.get(), std::span<const layout::Namespace>(contents.namespaces), path))
    return *failure;
  if (Failure failure =
          write_records(file.get(), std::span<const layout::Listener>(contents.listeners), path))
    return *failure;
  return file;
}

} // namespace backlog
