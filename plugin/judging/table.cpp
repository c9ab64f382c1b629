#include "table.h"

namespace backlog {

std::vector<AlarmInput> alarm_inputs(const Table &table) {
  std::vector<AlarmInput> inputs;
  inputs.reserve(table.rows.size() + table.unread.size());
  const std::map<std::size_t, ChainPlace> chains = find_chains(table.waits);
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const Row &row = table.rows[i];
    if (!row.diagnosis)
      continue;
    AlarmInput &input = inputs.emplace_back(AlarmInput{row.name, &*row.diagnosis, row.precedence});
    if (const auto place = chains.find(i); place != chains.end()) {
      input.chain_root = table.rows[place->second.root].name;
      input.chain_distance = place->second.distance;
    }
  }
  for (const std::string &name : table.unread)
    inputs.push_back({name, nullptr, {}});
  return inputs;
}

} // namespace backlog
