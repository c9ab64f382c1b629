#include "btf.h"
#include "test_program.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <linux/btf.h>
#include <string>
#include <vector>

using namespace backlog;

namespace {

/// Writes a kernel's BTF, type by type.
class BtfWriter {
public:
  std::uint32_t add(std::uint32_t kind, const std::string &name, std::uint32_t type = 0,
                    std::uint32_t count = 0) {
    const btf_type written{.name_off = name_at(name), .info = kind << 24 | count, .type = type};
    append(&written, sizeof(written));
    return ++last_;
  }
  void tracepoint(const std::string &name, std::uint32_t arguments) {
    const std::uint32_t function = add(BTF_KIND_FUNC_PROTO, "", 0, arguments);
    for (std::uint32_t i = 0; i < arguments; ++i) {
      const btf_param parameter{};
      append(&parameter, sizeof(parameter));
    }
    add(BTF_KIND_TYPEDEF, "btf_trace_" + name, add(BTF_KIND_PTR, "", function));
  }
  void function(const std::string &name) { add(BTF_KIND_FUNC, name); }
  void reasons(const std::vector<std::string> &names) {
    add(BTF_KIND_ENUM, "skb_drop_reason", 4, static_cast<std::uint32_t>(names.size()));
    for (const std::string &name : names) {
      const btf_enum value{.name_off = name_at("SKB_DROP_REASON_" + name), .val = 0};
      append(&value, sizeof(value));
    }
  }
  std::vector<std::byte> bytes() const {
    btf_header header{};
    header.magic = BTF_MAGIC;
    header.version = 1;
    header.hdr_len = sizeof(header);
    header.type_len = static_cast<std::uint32_t>(types_.size());
    header.str_off = header.type_len;
    header.str_len = static_cast<std::uint32_t>(strings_.size());
    const std::string all =
        std::string(reinterpret_cast<const char *>(&header), sizeof(header)) + types_ + strings_;
    std::vector<std::byte> bytes;
    for (const char c : all)
      bytes.push_back(static_cast<std::byte>(c));
    return bytes;
  }

private:
  std::uint32_t name_at(const std::string &name) {
    const auto offset = static_cast<std::uint32_t>(strings_.size());
    strings_ += name + '\0';
    return name.empty() ? 0 : offset;
  }
  void append(const void *data, std::size_t size) {
    types_.append(static_cast<const char *>(data), size);
  }

  std::string types_;
  std::string strings_ = std::string(1, '\0');
  std::uint32_t last_ = 0;
};

const std::vector<std::string> all_reasons{"NO_SOCKET", "NO_XX", "TCP_CSUM", "TCP_FLAGS"};

/// Kernels as they were looked at.
BtfWriter debian_12() {
  BtfWriter btf;
  btf.reasons(all_reasons);
  btf.tracepoint("kfree_skb", 4);
  btf.function("inet_csk_complete_hashdance");
  btf.function("inet_csk_reqsk_queue_add");
  btf.function("inet_csk_accept");
  return btf;
}

BtfWriter linux_6_18() {
  BtfWriter btf;
  btf.tracepoint("kfree_skb", 5);
  btf.tracepoint("sk_data_ready", 2);
  btf.function("inet_csk_accept");
  btf.function("inet_csk_complete_hashdance");
  btf.function("inet_csk_reqsk_queue_add");
  std::vector<std::string> reasons = all_reasons;
  reasons.emplace_back("TCP_LISTEN_OVERFLOW");
  btf.reasons(reasons);
  return btf;
}

} // namespace

START_TEST(kernels) {
  using Additions = EventPlan::Additions;
  BtfWriter linux_6_8;
  linux_6_8.tracepoint("sk_data_ready", 2);
  linux_6_8.tracepoint("kfree_skb", 4);
  linux_6_8.reasons(all_reasons);
  BtfWriter linux_6_12;
  linux_6_12.tracepoint("sk_data_ready", 2);
  linux_6_12.tracepoint("kfree_skb", 5);
  linux_6_12.reasons(all_reasons);
  BtfWriter other_reasons;
  other_reasons.tracepoint("sk_data_ready", 2);
  other_reasons.tracepoint("kfree_skb", 5);
  other_reasons.reasons({"NO_SOCKET", "TCP_CSUM"});
  BtfWriter inlined;
  inlined.function("inet_csk_reqsk_queue_add");
  inlined.function("inet_csk_accept");
  const struct {
    const char *name = nullptr;
    BtfWriter btf;
    EventPlan plan;
  } cases[] = {
      {"Debian 12", debian_12(), {.additions = Additions::hashdance, .waits = true}},
      {"6.18",
       linux_6_18(),
       {.additions = Additions::data_ready, .frees = true, .overflows = true, .waits = true}},
      {"6.12", linux_6_12, {.additions = Additions::data_ready, .frees = true}},
      {"6.8", linux_6_8, {.additions = Additions::data_ready}},
      {"no such reason", other_reasons, {.additions = Additions::data_ready}},
      {"hashdance has no BTF", inlined, {}},
      {"nothing", BtfWriter(), {}},
  };
  for (const auto &c : cases)
    ck_assert_msg(plan_events(find_event_hooks(c.btf.bytes())) == c.plan, "%s", c.name);
}
END_TEST

START_TEST(damaged_tells_nothing_wrong) {
  const std::vector<std::byte> whole = linux_6_18().bytes();
  const EventHooks all = find_event_hooks(whole);
  ck_assert(all.sk_data_ready && all.kfree_skb_rx_sk && all.drop_reasons);
  // However short it is, nothing is read behind it.
  for (std::size_t size = 0; size < whole.size(); ++size)
    (void)find_event_hooks({whole.data(), size});
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::vector<std::byte> changed = whole;
    changed[at] ^= std::byte{0xff};
    (void)find_event_hooks(changed);
  }
  std::vector<std::byte> other_magic = whole;
  other_magic[0] ^= std::byte{1};
  ck_assert(find_event_hooks(other_magic) == EventHooks());
}
END_TEST

START_TEST(the_running_kernel) {
  std::ifstream file("/sys/kernel/btf/vmlinux", std::ios::binary);
  if (!file)
    return; // built without BTF
  const std::string content((std::istreambuf_iterator<char>(file)),
                            std::istreambuf_iterator<char>());
  const EventHooks hooks =
      find_event_hooks({reinterpret_cast<const std::byte *>(content.data()), content.size()});
  // Every kernel with BTF has the function; the newer tracepoint came after the older one.
  ck_assert(hooks.inet_csk_accept);
  ck_assert(hooks.sk_data_ready || !hooks.kfree_skb_rx_sk);
}
END_TEST

int main() { return run_tests("btf", kernels, damaged_tells_nothing_wrong, the_running_kernel); }
