#pragma once

#include "backlog/table_validity.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <vector>

namespace backlog {

/// The time of a clock in nanoseconds.
inline std::int64_t clock_ns(clockid_t clock = CLOCK_BOOTTIME) {
  timespec time{};
  clock_gettime(clock, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

inline std::int64_t age_ns(const layout::Header &header, std::int64_t boot_ns) {
  return boot_ns - header.taken_at_boot_ns;
}

/// A table is also stale when its time is in the future, which means an earlier boot.
inline bool is_stale(const layout::Header &header, std::int64_t boot_ns) {
  const std::int64_t age = age_ns(header, boot_ns);
  return age < 0 || age / layout::stale_intervals >= header.interval_ns;
}

/// Reads a table record by record. It trusts no byte: damaged data is refused with a reason.
class TableReader {
public:
  /// Works as read(2): returns the bytes read, 0 at the end, or -1 with errno.
  using Source = std::function<ssize_t(void *target, std::size_t bytes)>;

  /// bytes: the length of the whole table.
  TableReader(Source source, std::uint64_t bytes) : source_(std::move(source)), bytes_(bytes) {
    read_header();
  }

  /// Why the table is refused; empty if it is not.
  const std::string &refusal() const { return refusal_; }
  bool refused() const { return !refusal_.empty(); }

  const layout::Header &header() const { return header_; }

  /// Reads the next record; returns false at the end and when the table is refused. All namespaces
  /// come before the first listener. The table is known to be whole only when next_listener() has
  /// returned false and refused() is still false.
  bool next_namespace(layout::Namespace &record) {
    if (refused() || namespaces_read_ == header_.namespaces || !read_record(record, "namespace"))
      return false;
    if (!accept(record))
      return false;
    ++namespaces_read_;
    return true;
  }
  bool next_listener(layout::Listener &record) {
    layout::Namespace skipped{};
    while (next_namespace(skipped)) {
    }
    if (refused())
      return false;
    if (listeners_read_ == header_.listeners) {
      expect_end();
      return false;
    }
    if (!read_record(record, "listener") || !accept(record))
      return false;
    ++listeners_read_;
    return true;
  }

private:
  bool refuse(std::string reason) {
    if (!refused())
      refusal_ = std::move(reason);
    return false;
  }

  template <class Record> bool read_record(Record &record, const char *what) {
    std::size_t got = 0;
    while (got < sizeof record) {
      if (used_ == filled_) {
        const ssize_t result = source_(buffer_.data(), buffer_.size());
        if (result < 0)
          return refuse(std::string("cannot be read: ") + std::strerror(errno));
        if (result == 0)
          return refuse(std::string("ends within a ") + what);
        used_ = 0;
        filled_ = static_cast<std::size_t>(result);
      }
      const std::size_t part = std::min(sizeof record - got, filled_ - used_);
      std::memcpy(reinterpret_cast<char *>(&record) + got, buffer_.data() + used_, part);
      got += part;
      used_ += part;
    }
    return true;
  }

  void expect_end() {
    ssize_t result = 1;
    if (used_ == filled_)
      result = source_(buffer_.data(), 1);
    if (result != 0)
      refuse("continues after its last listener");
  }

  void read_header() {
    if (bytes_ < sizeof header_) {
      refuse("is shorter than a header");
      return;
    }
    if (!read_record(header_, "header") || !accept_sizes() || !accept_figures())
      return;
    const std::uint64_t expected = sizeof header_ +
                                   std::uint64_t{header_.namespaces} * sizeof(layout::Namespace) +
                                   std::uint64_t{header_.listeners} * sizeof(layout::Listener);
    if (bytes_ != expected)
      refuse("has " + std::to_string(bytes_) + " bytes, but its header says " +
             std::to_string(expected));
  }

  bool accept_sizes() {
    if (header_.magic != layout::magic)
      return refuse("is not a table of collectd-backlog");
    if (header_.version != layout::version)
      return refuse("has layout version " + std::to_string(header_.version) + ", not " +
                    std::to_string(layout::version));
    if (header_.header_bytes != sizeof(layout::Header) ||
        header_.namespace_bytes != sizeof(layout::Namespace) ||
        header_.listener_bytes != sizeof(layout::Listener))
      return refuse("has records of other sizes");
    if (header_.namespaces == 0 || header_.namespaces > layout::max_namespaces)
      return refuse("claims " + std::to_string(header_.namespaces) + " namespaces");
    if (header_.listeners > layout::max_listeners)
      return refuse("claims " + std::to_string(header_.listeners) + " listeners");
    return true;
  }

  bool accept_figures() {
    const std::string_view fault = layout::fault_of(header_);
    return fault.empty() || refuse(std::string(fault));
  }

  std::string at(const char *what, std::uint32_t position) const {
    return std::string(what) + " " + std::to_string(position) + " ";
  }

  bool accept(const layout::Namespace &record) {
    const std::string what = at("namespace", namespaces_read_);
    if (const std::string_view fault = layout::fault_of(record); !fault.empty())
      return refuse(what + std::string(fault));
    const std::string_view name = layout::text_of(record.name);
    if ((namespaces_read_ == 0) != (name == layout::own_namespace))
      return refuse(what + "is not self");
    if (namespaces_read_ > 1 && name <= last_name_)
      return refuse(what + "is out of order");
    last_name_ = namespaces_read_ == 0 ? "" : name;
    return true;
  }

  bool accept(const layout::Listener &record) {
    const std::string_view fault = layout::fault_of(record, header_.namespaces);
    if (!fault.empty())
      return refuse(at("listener", listeners_read_) + std::string(fault));
    if (record.waits_for > header_.listeners)
      return refuse(at("listener", listeners_read_) + "waits for one that is not there");
    const std::string_view name = layout::text_of(record.name);
    if (listeners_read_ > 0 && name <= last_name_)
      return refuse(at("listener", listeners_read_) + "is out of order");
    last_name_ = name;
    return true;
  }

  static constexpr std::size_t buffer_bytes = 65536;

  Source source_;
  std::uint64_t bytes_;
  std::vector<char> buffer_ = std::vector<char>(buffer_bytes);
  std::size_t used_ = 0;
  std::size_t filled_ = 0;
  layout::Header header_{};
  std::uint32_t namespaces_read_ = 0;
  std::uint32_t listeners_read_ = 0;
  std::string last_name_;
  std::string refusal_;
};

/// An open table file and its identity.
class OpenTable {
public:
  /// Distinguishes a file from the next one renamed over it.
  struct Identity {
    dev_t device = 0;
    ino_t inode = 0;
    std::int64_t changed_ns = 0; ///< ctime
    off_t bytes = 0;

    bool operator==(const Identity &) const = default;
  };

  explicit OpenTable(const std::string &path)
      : fd_(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)),
        absent_(fd_ < 0 && errno == ENOENT) {
    struct stat file {};
    if (fd_ < 0)
      refusal_ = errno == ELOOP ? "is a symbolic link" : std::strerror(errno);
    else if (::fstat(fd_, &file) != 0)
      refusal_ = std::strerror(errno);
    else if (!S_ISREG(file.st_mode))
      refusal_ = "is not a regular file";
    else
      identity_ = identify(file);
  }
  OpenTable(const OpenTable &) = delete;
  OpenTable &operator=(const OpenTable &) = delete;
  ~OpenTable() {
    if (fd_ >= 0)
      ::close(fd_);
  }

  /// Why the file cannot be a table; empty if it can.
  const std::string &refusal() const { return refusal_; }
  bool absent() const { return absent_; }
  const Identity &identity() const { return identity_; }

  TableReader reader() const {
    const int fd = fd_;
    return {[fd](void *target, std::size_t bytes) {
              ssize_t result = -1;
              do
                result = ::read(fd, target, bytes);
              while (result < 0 && errno == EINTR);
              return result;
            },
            static_cast<std::uint64_t>(identity_.bytes)};
  }

  static Identity identify(const struct stat &file) {
    return {file.st_dev, file.st_ino,
            std::int64_t{file.st_ctim.tv_sec} * 1'000'000'000 + file.st_ctim.tv_nsec, file.st_size};
  }

private:
  int fd_;
  bool absent_;
  Identity identity_;
  std::string refusal_;
};

/// A whole table in memory.
struct TableContents {
  layout::Header header{};
  std::vector<layout::Namespace> namespaces;
  std::vector<layout::Listener> listeners;
  /// Listeners that are not to be shown, but that one of the others waits for: waits_for counts on
  /// here.
  std::vector<layout::Listener> not_shown;
};

/// The name of the listener in whose queue the owner of this one waits; "" for none.
inline std::string_view waited_for(const TableContents &contents,
                                   const layout::Listener &listener) {
  if (listener.waits_for == 0)
    return {};
  const std::size_t position = listener.waits_for - 1;
  const std::size_t shown = contents.listeners.size();
  return layout::text_of(
      (position < shown ? contents.listeners[position] : contents.not_shown[position - shown])
          .name);
}

/// Reads the whole table, or says why it is refused.
inline std::pair<std::unique_ptr<TableContents>, std::string> read_table(TableReader reader) {
  auto contents = std::make_unique<TableContents>();
  contents->header = reader.header();
  for (layout::Namespace record{}; reader.next_namespace(record);)
    contents->namespaces.push_back(record);
  for (layout::Listener record{}; reader.next_listener(record);)
    contents->listeners.push_back(record);
  if (reader.refused())
    return {nullptr, reader.refusal()};
  return {std::move(contents), ""};
}

inline std::pair<std::unique_ptr<TableContents>, std::string>
read_table_file(const std::string &path) {
  const OpenTable table(path);
  if (!table.refusal().empty())
    return {nullptr, table.refusal()};
  return read_table(table.reader());
}

/// The set of numbers in use. Each search for a free number leaves a shortcut to where it ended, so
/// that names chosen to collide cost no more than others.
class TakenIndexes {
public:
  explicit TakenIndexes(std::size_t count) : next_(2 * count) {}

  /// Returns false if the number is in use already.
  bool take(std::uint32_t index) { return next_.try_emplace(index, after(index)).second; }
  /// Takes the first free number after this one, which is in use.
  std::uint32_t take_behind(std::uint32_t index) {
    std::uint32_t end = index;
    for (auto at = next_.find(end); at != next_.end(); at = next_.find(end)) {
      end = at->second;
      ++steps_;
    }
    for (std::uint32_t at = index; at != end; ++steps_)
      at = std::exchange(next_[at], end);
    take(end);
    return end;
  }
  std::size_t steps() const { return steps_; }

private:
  static std::uint32_t after(std::uint32_t index) {
    return index == layout::max_name_index ? 1 : index + 1;
  }

  std::unordered_map<std::uint32_t, std::uint32_t>
      next_; ///< for a number in use: where to continue the search
  std::size_t steps_ = 0;
};

/// The SNMP index of each name; names are sorted. When names collide, the first keeps its index and
/// the others take the next free numbers in order. steps: set to the work that took.
inline std::vector<std::uint32_t> name_indexes(const std::vector<std::string_view> &names,
                                               std::size_t *steps = nullptr) {
  std::vector<std::uint32_t> indexes;
  std::vector<std::size_t> losers;
  TakenIndexes taken(names.size());
  indexes.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    indexes.push_back(layout::name_index(names[i]));
    if (!taken.take(indexes[i]))
      losers.push_back(i);
  }
  for (const std::size_t i : losers)
    indexes[i] = taken.take_behind(indexes[i]);
  if (steps != nullptr)
    *steps = taken.steps();
  return indexes;
}

} // namespace backlog
