#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

/// Where a server's backlog is set; a line of conf/collectd/servers.
struct ServerSetting {
  std::string owner;   ///< pattern of fnmatch(3)
  std::string place;   ///< what to write, and where; N stands for the number
  std::string initial; ///< the default
  std::string effect;  ///< how a new number takes effect

  bool operator==(const ServerSetting &) const = default;
  /// Returns place with the number inserted for N.
  std::string place_of(std::uint64_t number) const;
};

class ServerSettings {
public:
  /// Appends the lines of a file's text. Returns a line for each error: "FILE line NUMBER: ...".
  std::vector<std::string> add(std::string_view text, const std::string &file);
  /// Reads a file, likewise; a missing file adds nothing.
  std::vector<std::string> add_file(const std::string &file);

  /// Returns the first that matches a listener's owner as in the table; nullptr if none does.
  const ServerSetting *find(std::string_view owner) const;

private:
  std::vector<ServerSetting> settings_;
};

} // namespace backlog
