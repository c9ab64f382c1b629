#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

/// Where a server has the backlog of its listen(); a line of conf/collectd/servers.
struct ServerSetting {
  std::string owner;   ///< pattern of fnmatch(3)
  std::string place;   ///< what to write, and where; N stands for the number
  std::string initial; ///< the default
  std::string effect;  ///< how a new number comes into force

  bool operator==(const ServerSetting &) const = default;
  /// place, with the number in it where N stands alone.
  std::string place_of(std::uint64_t number) const;
};

class ServerSettings {
public:
  /// Adds the lines of a file's text behind those that are there. Returns what is wrong with it, a
  /// line each: "FILE line NUMBER: ...".
  std::vector<std::string> add(std::string_view text, const std::string &file);
  /// Likewise of a file; one that is not there adds nothing.
  std::vector<std::string> add_file(const std::string &file);

  /// The first that fits a listener's owner as the table has it; nullptr: none.
  const ServerSetting *find(std::string_view owner) const;

private:
  std::vector<ServerSetting> settings_;
};

} // namespace backlog
