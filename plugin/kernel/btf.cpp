#include "btf.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <linux/btf.h>
#include <optional>
#include <string_view>
#include <vector>

namespace backlog {

namespace {

constexpr std::uint32_t kfree_skb_arguments = 5; // counts the tracepoint's data, which comes first
constexpr std::size_t bytes_of_a_type = 24;      // about, with the data that follows it
constexpr std::uint32_t kind_enum64 = 19;        // BTF_KIND_ENUM64, which headers before 6.0 lack

/// Bytes that follow a type's header; nullopt for an unknown kind, after which nothing can be
/// found.
std::optional<std::size_t> bytes_behind(std::uint32_t kind, std::uint32_t count) {
  switch (kind) {
  case BTF_KIND_INT:
  case BTF_KIND_VAR:
  case 17: // BTF_KIND_DECL_TAG
    return 4;
  case BTF_KIND_ARRAY:
    return sizeof(btf_array);
  case BTF_KIND_STRUCT:
  case BTF_KIND_UNION:
    return count * sizeof(btf_member);
  case BTF_KIND_ENUM:
    return count * sizeof(btf_enum);
  case BTF_KIND_FUNC_PROTO:
    return count * sizeof(btf_param);
  case BTF_KIND_DATASEC:
    return count * sizeof(btf_var_secinfo);
  case kind_enum64:
    return count * std::size_t{12};
  case BTF_KIND_PTR:
  case BTF_KIND_FWD:
  case BTF_KIND_TYPEDEF:
  case BTF_KIND_VOLATILE:
  case BTF_KIND_CONST:
  case BTF_KIND_RESTRICT:
  case BTF_KIND_FUNC:
  case BTF_KIND_FLOAT:
  case 18: // BTF_KIND_TYPE_TAG
    return 0;
  default:
    return std::nullopt;
  }
}

template <class T> std::optional<T> read_at(std::span<const std::byte> bytes, std::size_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T))
    return std::nullopt;
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

/// Walks the types once. A tracepoint is the typedef btf_trace_NAME of a pointer to a FUNC_PROTO;
/// either of these can come before or after the typedef.
class Walk {
public:
  explicit Walk(std::span<const std::byte> btf) {
    const auto header = read_at<btf_header>(btf, 0);
    if (!header || header->magic != BTF_MAGIC || header->hdr_len > btf.size())
      return;
    const auto rest = btf.subspan(header->hdr_len);
    if (header->type_off > rest.size() || header->type_len > rest.size() - header->type_off ||
        header->str_off > rest.size() || header->str_len > rest.size() - header->str_off)
      return;
    types_ = rest.subspan(header->type_off, header->type_len);
    strings_ = {reinterpret_cast<const char *>(rest.data()) + header->str_off, header->str_len};
  }

  EventHooks hooks() {
    places_.reserve(types_.size() / bytes_of_a_type);
    for (std::size_t at = 0; const auto type = read_at<btf_type>(types_, at);) {
      const std::size_t behind = at + sizeof(btf_type);
      const auto more = bytes_behind(BTF_INFO_KIND(type->info), BTF_INFO_VLEN(type->info));
      if (!more || *more > types_.size() - behind)
        break;
      places_.push_back(static_cast<std::uint32_t>(at));
      note(*type, behind);
      at = behind + *more;
    }
    hooks_.drop_reasons = reasons_found_ == reasons.size();
    if (kfree_skb_ != 0)
      hooks_.kfree_skb_rx_sk = arguments_of(kfree_skb_) >= kfree_skb_arguments;
    return hooks_;
  }

private:
  static constexpr std::array<std::string_view, 3> reasons{
      "SKB_DROP_REASON_NO_SOCKET", "SKB_DROP_REASON_TCP_CSUM", "SKB_DROP_REASON_TCP_FLAGS"};

  std::string_view name_at(std::uint32_t offset) const {
    if (offset >= strings_.size())
      return {};
    const std::string_view rest = strings_.substr(offset);
    // g++ 11 warns of a find() that it takes for one without a bound.
    return {rest.begin(), std::find(rest.begin(), rest.end(), '\0')};
  }

  void note(const btf_type &type, std::size_t behind) {
    const std::uint32_t kind = BTF_INFO_KIND(type.info);
    if (kind == BTF_KIND_TYPEDEF) {
      const std::string_view name = name_at(type.name_off);
      if (name == "btf_trace_sk_data_ready")
        hooks_.sk_data_ready = true;
      else if (name == "btf_trace_kfree_skb")
        kfree_skb_ = type.type;
    } else if (kind == BTF_KIND_FUNC) {
      note_function(name_at(type.name_off));
    } else if (kind == BTF_KIND_ENUM && name_at(type.name_off) == "skb_drop_reason") {
      note_reasons(BTF_INFO_VLEN(type.info), behind);
    }
  }

  void note_function(std::string_view name) {
    if (name == "inet_csk_complete_hashdance")
      hooks_.complete_hashdance = true;
    else if (name == "inet_csk_reqsk_queue_add")
      hooks_.reqsk_queue_add = true;
    else if (name == "inet_csk_accept")
      hooks_.inet_csk_accept = true;
  }

  std::size_t note_reason(std::string_view name) {
    if (name == "SKB_DROP_REASON_TCP_LISTEN_OVERFLOW")
      hooks_.listen_overflow = true;
    return static_cast<std::size_t>(std::count(reasons.begin(), reasons.end(), name));
  }

  void note_reasons(std::uint32_t count, std::size_t behind) {
    std::size_t found = 0;
    for (std::uint32_t i = 0; i < count; ++i)
      if (const auto value = read_at<btf_enum>(types_, behind + i * sizeof(btf_enum)))
        found += note_reason(name_at(value->name_off));
    reasons_found_ = found;
  }

  /// Counts the arguments of the function that the pointer points to.
  std::uint32_t arguments_of(std::uint32_t pointer) const {
    const auto to = type_at(pointer, BTF_KIND_PTR);
    const auto function = to ? type_at(to->type, BTF_KIND_FUNC_PROTO) : std::nullopt;
    return function ? BTF_INFO_VLEN(function->info) : 0;
  }

  std::optional<btf_type> type_at(std::uint32_t id, std::uint32_t kind) const {
    if (id == 0 || id > places_.size())
      return std::nullopt;
    const auto type = read_at<btf_type>(types_, places_[id - 1]);
    return type && BTF_INFO_KIND(type->info) == kind ? type : std::nullopt;
  }

  std::span<const std::byte> types_;
  std::string_view strings_;
  std::vector<std::uint32_t> places_; ///< positions of the types, by id - 1
  EventHooks hooks_;
  std::uint32_t kfree_skb_ = 0; ///< id of the pointer
  std::size_t reasons_found_ = 0;
};

} // namespace

EventHooks find_event_hooks(std::span<const std::byte> btf) { return Walk(btf).hooks(); }

EventPlan plan_events(const EventHooks &hooks) {
  EventPlan plan;
  if (hooks.sk_data_ready)
    plan.additions = EventPlan::Additions::data_ready;
  else if (hooks.complete_hashdance && hooks.reqsk_queue_add)
    plan.additions = EventPlan::Additions::hashdance;
  const bool any = plan.additions != EventPlan::Additions::none;
  plan.frees = any && hooks.kfree_skb_rx_sk && hooks.drop_reasons;
  plan.overflows = plan.frees && hooks.listen_overflow;
  plan.waits = any && hooks.inet_csk_accept;
  return plan;
}

} // namespace backlog
