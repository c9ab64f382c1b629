/* Counts additions at the tracepoint sk_data_ready (Linux 6.3 and later): a child of a TCP listener
   (tcp_child_process()) or a client of a Unix listener (unix_stream_connect()). */

#include "event_adds.bpf.h"

char dual_license[] SEC("license") = "Dual MIT/GPL";

SEC("tp_btf/sk_data_ready")
int BPF_PROG(ready_first, struct sock *sk) {
  note_seen();
  return is_listening(sk) ? count_first(sk) : 0;
}

SEC("tp_btf/sk_data_ready")
int BPF_PROG(ready_second, struct sock *sk) {
  return is_listening(sk) ? count_unless_counted(sk) : 0;
}
