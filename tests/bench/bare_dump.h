#pragma once

#include "host.h"

#include <cstdint>
#include <cstring>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <memory>
#include <netinet/tcp.h>
#include <stdexcept>
#include <sys/socket.h>
#include <vector>

namespace bench {

/// A dump whose messages nobody looks at.
/// It sends the request that a sample sends.
class BareDump {
public:
  BareDump() : socket_(mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC)), buffer_(32768) {
    if (!socket_ || mnl_socket_bind(socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0)
      throw std::runtime_error("cannot open a sock_diag socket");
    recv(mnl_socket_get_fd(socket_.get()), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  }

  void run() {
    struct {
      nlmsghdr header;
      inet_diag_req body;
    } request{};
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = TCPDIAG_GETSOCK;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.header.nlmsg_seq = ++sequence_;
    request.body.idiag_family = AF_INET;
    request.body.idiag_states = 1U << TCP_LISTEN;
    request.body.idiag_ext = 1U << (INET_DIAG_SKMEMINFO - 1);
    checked(static_cast<int>(mnl_socket_sendto(socket_.get(), &request, sizeof request)), "send");
    while (!receive_last())
      continue;
  }

private:
  /// Whether the datagram ends in NLMSG_DONE, which is always the last message.
  bool receive_last() {
    sockaddr_nl sender{};
    iovec part{.iov_base = buffer_.data(), .iov_len = buffer_.size()};
    msghdr envelope{};
    envelope.msg_name = &sender;
    envelope.msg_namelen = sizeof sender;
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    const auto length = static_cast<std::size_t>(checked(
        static_cast<int>(recvmsg(mnl_socket_get_fd(socket_.get()), &envelope, 0)), "recvmsg"));
    constexpr std::size_t done_bytes = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(int));
    if (length < done_bytes)
      throw std::runtime_error("a datagram of sock_diag is too short");
    nlmsghdr last{};
    std::memcpy(&last, buffer_.data() + length - done_bytes, sizeof last);
    return last.nlmsg_type == NLMSG_DONE && last.nlmsg_len == done_bytes &&
           last.nlmsg_seq == sequence_;
  }

  struct Close {
    void operator()(mnl_socket *socket) const { mnl_socket_close(socket); }
  };
  std::unique_ptr<mnl_socket, Close> socket_;
  std::vector<char> buffer_;
  std::uint32_t sequence_ = 0;
};

} // namespace bench
