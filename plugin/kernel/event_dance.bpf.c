/* Counts additions at functions, for kernels without the tracepoint sk_data_ready. TCP only. The
   final ACK of a handshake calls inet_csk_complete_hashdance(), into which compilers often inline
   inet_csk_reqsk_queue_add(); cookies and TCP Fast Open call the latter directly. If it is not
   inlined, both functions report one addition, the inner one first. What the inner one has counted
   for another caller is therefore forgotten when the outer one begins. */

#include "event_adds.bpf.h"

char dual_license[] SEC("license") = "Dual MIT/GPL";

static __always_inline bool returned_child(void *context) {
  __u64 child = 0;
  bpf_get_func_ret(context, &child);
  return child != 0;
}

SEC("fexit/inet_csk_reqsk_queue_add")
int BPF_PROG(queue_add, struct sock *sk) { return returned_child(ctx) ? count_first(sk) : 0; }

SEC("fentry/inet_csk_complete_hashdance")
int BPF_PROG(hashdance_begins) { return forget_counted(); }

SEC("fexit/inet_csk_complete_hashdance")
int BPF_PROG(hashdance, struct sock *sk) {
  note_seen();
  return returned_child(ctx) ? count_unless_counted(sk) : 0;
}
