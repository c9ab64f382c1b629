// Any bytes as a kernel's BTF: nothing outside of them is read, and what they have decides alone.

#include "btf.h"
#include "fuzz_input.h"

#include <vector>

using namespace backlog;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const std::string_view rest = FuzzInput(data, size).rest();
  std::vector<std::byte> btf(rest.size());
  std::copy_n(reinterpret_cast<const std::byte *>(rest.data()), rest.size(), btf.begin());
  const EventHooks hooks = find_event_hooks(btf);
  const EventPlan plan = plan_events(hooks);
  require(!plan.frees || (hooks.kfree_skb_rx_sk && hooks.drop_reasons));
  require(plan.additions != EventPlan::Additions::none || (!plan.frees && !plan.waits));
  btf.push_back(std::byte{0}); // beyond what its header tells of
  require(find_event_hooks(btf) == hooks || hooks == EventHooks());
  return 0;
}
