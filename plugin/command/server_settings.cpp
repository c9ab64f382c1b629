#include "server_settings.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fnmatch.h>
#include <memory>
#include <optional>

namespace backlog {

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t begin = text.find_first_not_of(blanks);
  return begin == std::string_view::npos
             ? std::string_view()
             : text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

std::optional<ServerSetting> parse(std::string_view line) {
  std::array<std::string, 4> fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::size_t end = line.find('|');
    if ((end == std::string_view::npos) != (i + 1 == fields.size()))
      return std::nullopt;
    fields.at(i) = trimmed(line.substr(0, end));
    if (fields.at(i).empty())
      return std::nullopt;
    line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  }
  return ServerSetting{fields[0], fields[1], fields[2], fields[3]};
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// The names of an owner: a process without its number, a unit without its kind and its instance.
std::array<std::string, 3> names_of(std::string_view owner) {
  const std::string whole(owner.substr(0, owner.find_first_of("[ ")));
  constexpr std::string_view service = ".service";
  std::string unit = whole;
  if (unit.ends_with(service))
    unit.resize(unit.size() - service.size());
  return {whole, unit, unit.substr(0, unit.find('@'))};
}

} // namespace

std::string ServerSetting::place_of(std::uint64_t number) const {
  std::string text;
  for (std::size_t i = 0; i < place.size(); ++i) {
    const bool alone =
        (i == 0 || !is_word(place[i - 1])) && (i + 1 == place.size() || !is_word(place[i + 1]));
    if (place[i] == 'N' && alone)
      text += std::to_string(number);
    else
      text += place[i];
  }
  return text;
}

std::vector<std::string> ServerSettings::add(std::string_view text, const std::string &file) {
  std::vector<std::string> faults;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#')
      continue;
    if (std::optional<ServerSetting> setting = parse(line))
      settings_.push_back(std::move(*setting));
    else
      faults.push_back(file + " line " + std::to_string(number) +
                       ": allowed is OWNER | PLACE | DEFAULT | HOW, none of them empty");
  }
  return faults;
}

std::vector<std::string> ServerSettings::add_file(const std::string &file) {
  struct Close {
    void operator()(std::FILE *opened) const { (void)std::fclose(opened); }
  };
  const std::unique_ptr<std::FILE, Close> opened(std::fopen(file.c_str(), "re"));
  if (!opened)
    return errno == ENOENT ? std::vector<std::string>{}
                           : std::vector<std::string>{file + ": " + std::strerror(errno)};
  std::string text;
  std::array<char, 4096> buffer{};
  while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), opened.get()))
    text.append(buffer.data(), size);
  if (std::ferror(opened.get()) != 0)
    return {file + ": " + std::strerror(errno)};
  return add(text, file);
}

const ServerSetting *ServerSettings::find(std::string_view owner) const {
  for (const ServerSetting &setting : settings_)
    for (const std::string &name : names_of(owner))
      if (!name.empty() && ::fnmatch(setting.owner.c_str(), name.c_str(), 0) == 0)
        return &setting;
  return nullptr;
}

} // namespace backlog
