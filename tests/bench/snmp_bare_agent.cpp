// The least that a subagent over libnetsnmpagent can be: a sorted array of names and values, looked
// up by bisection. What backlog-agentx is measured against.
//
//   snmp_bare_agent ADDRESS ROWS      serves ROWS rows of 10 columns
//   below 1.3.6.1.4.1.8072.9999.9999.4343

// clang-format off
#include <net-snmp/net-snmp-config.h>
#include <net-snmp/net-snmp-includes.h>
#include <net-snmp/agent/net-snmp-agent-includes.h>
// clang-format on

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

constexpr std::size_t prefix_length = 12;
constexpr std::array<oid, prefix_length> prefix{1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 4343, 1, 1};

struct Cell {
  std::array<oid, prefix_length + 2> name;
  u_char type;
  std::string text;
  long number;
};

std::vector<Cell> cells;

bool before(const Cell &cell, const netsnmp_variable_list &variable) {
  return snmp_oid_compare(cell.name.data(), cell.name.size(), variable.name, variable.name_length) <
         0;
}

void answer(const Cell &cell, netsnmp_variable_list &variable) {
  if (cell.type == ASN_COUNTER64) {
    const counter64 counter{0, static_cast<u_long>(cell.number)};
    snmp_set_var_typed_value(&variable, ASN_COUNTER64, &counter, sizeof counter);
  } else if (cell.type == ASN_OCTET_STR) {
    snmp_set_var_typed_value(&variable, ASN_OCTET_STR, cell.text.data(), cell.text.size());
  } else {
    snmp_set_var_typed_integer(&variable, cell.type, cell.number);
  }
}

int handle(netsnmp_mib_handler *, netsnmp_handler_registration *, netsnmp_agent_request_info *info,
           netsnmp_request_info *requests) {
  for (netsnmp_request_info *request = requests; request != nullptr; request = request->next) {
    netsnmp_variable_list &variable = *request->requestvb;
    auto found = std::lower_bound(cells.begin(), cells.end(), variable, before);
    const bool same =
        found != cells.end() && snmp_oid_compare(found->name.data(), found->name.size(),
                                                 variable.name, variable.name_length) == 0;
    if (info->mode == MODE_GETNEXT && same)
      ++found;
    if (found == cells.end() || (info->mode == MODE_GET && !same)) {
      if (info->mode == MODE_GET)
        netsnmp_request_set_error(request, SNMP_NOSUCHINSTANCE);
      continue;
    }
    if (info->mode == MODE_GETNEXT)
      snmp_set_var_objid(&variable, found->name.data(), found->name.size());
    answer(*found, variable);
  }
  return SNMP_ERR_NOERROR;
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 3)
    return 2;
  const long rows = std::strtol(argv[2], nullptr, 10);
  constexpr std::array<u_char, 10> types{ASN_OCTET_STR, ASN_INTEGER,  ASN_GAUGE, ASN_GAUGE,
                                         ASN_GAUGE,     ASN_GAUGE,    ASN_GAUGE, ASN_GAUGE,
                                         ASN_COUNTER64, ASN_COUNTER64};
  for (std::size_t column = 0; column < types.size(); ++column)
    for (long row = 0; row < rows; ++row) {
      Cell cell{{}, types[column], "tcp_127-0-" + std::to_string(row) + "_80", row};
      std::copy(prefix.begin(), prefix.end(), cell.name.begin());
      cell.name[prefix_length] = column + 2;
      cell.name[prefix_length + 1] = static_cast<oid>(row) * 200000 + 1;
      cells.push_back(cell);
    }

  netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_DISABLE_CONFIG_LOAD, 1);
  netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_DISABLE_PERSISTENT_LOAD, 1);
  netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_DONT_PERSIST_STATE, 1);
  netsnmp_ds_set_boolean(NETSNMP_DS_APPLICATION_ID, NETSNMP_DS_AGENT_ROLE, 1);
  netsnmp_ds_set_string(NETSNMP_DS_APPLICATION_ID, NETSNMP_DS_AGENT_X_SOCKET, argv[1]);
  init_agent("bare");
  netsnmp_register_handler(netsnmp_create_handler_registration(
      "bare", handle, prefix.data(), prefix.size() - 1, HANDLER_CAN_RONLY));
  init_snmp("bare");
  for (;;)
    agent_check_and_process(1);
}
