#pragma once

#include "backlog/table_reader.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

/// Tables for the tests of their readers, in memory.

inline backlog::layout::Namespace make_namespace(std::string_view name) {
  backlog::layout::Namespace record{};
  backlog::layout::set_text(record.name, name);
  record.has = backlog::layout::has_somaxconn;
  record.somaxconn = 4096;
  return record;
}

inline backlog::layout::Listener make_listener(std::string_view name) {
  using namespace backlog::layout;
  Listener record{};
  set_text(record.name, name);
  set_text(record.message, "all is well");
  record.has = has_queue | has_dropped;
  record.limit = 128;
  record.used_percent = 12.5;
  record.dropped = name.size();
  record.port = 80;
  record.address_type = AddressType::ipv4;
  return record;
}

/// A table of now, with the namespaces self, blue and green.
inline backlog::TableContents make_contents(const std::vector<std::string> &names) {
  backlog::TableContents contents;
  contents.header.taken_at_ns = 1'700'000'000'123'456'789;
  contents.header.taken_at_boot_ns = backlog::clock_ns();
  contents.header.interval_ns = 10'000'000'000;
  contents.header.has =
      backlog::layout::is_complete | backlog::layout::has_host | backlog::layout::has_host_dropped;
  contents.namespaces = {make_namespace("self"), make_namespace("blue"), make_namespace("green")};
  for (const std::string &name : names)
    contents.listeners.push_back(make_listener(name));
  return contents;
}

/// The file's bytes, for contents that are in order.
inline std::string table_bytes(backlog::TableContents contents) {
  using namespace backlog::layout;
  Header &header = contents.header;
  header.magic = magic;
  header.version = version;
  header.header_bytes = sizeof(Header);
  header.namespace_bytes = sizeof(Namespace);
  header.listener_bytes = sizeof(Listener);
  header.namespaces = static_cast<std::uint32_t>(contents.namespaces.size());
  header.listeners = static_cast<std::uint32_t>(contents.listeners.size());
  std::string bytes;
  const auto append = [&](const auto &record) {
    bytes.append(reinterpret_cast<const char *>(&record), sizeof record);
  };
  append(header);
  for (const Namespace &record : contents.namespaces)
    append(record);
  for (const Listener &record : contents.listeners)
    append(record);
  return bytes;
}

/// Hands the bytes out in pieces.
inline backlog::TableReader reader_of(const std::string &bytes, std::size_t piece,
                                      std::uint64_t told) {
  return {[&bytes, piece, at = std::size_t{0}](void *target, std::size_t wanted) mutable {
            const std::size_t part = std::min({piece, wanted, bytes.size() - at});
            std::memcpy(target, bytes.data() + at, part);
            at += part;
            return static_cast<ssize_t>(part);
          },
          told};
}
