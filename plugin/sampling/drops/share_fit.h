#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace backlog {

/// Learns which share of a listener's claims are drops of the namespace.
///
/// The model. In each sample, sk_drops of the listeners moved by x_i (their claims), and the
/// namespace's counter by y. Listener i's claims are drops by a share s_i that changes slowly, so
///
///     y = sum of s_i x_i + noise,    0 <= s_i <= 1,
///
/// and the fit minimises, over the recent samples,
///
///     sum of (y - sum of s_i x_i)^2 / v  +  prior_weight * sum of (s_i - p_i)^2
///
/// with v = X + X^2 / even_variance_claims, X = sum of x_i: the variance of counting X claims, and
/// that of shares which are not the same in each sample. p_i is the share of i's recent claims that
/// was met: the fit returns to it where the samples do not tell the listeners apart. An older
/// sample's weight is less by the factor `memory` for each sample since.
///
/// The gain, measured on the recordings of check_drops as drops attributed to the wrong listener:
/// in the hardest (s7, SYN, deferred and final-ACK listeners, all full for good) 0.6, 0.8 and 1.4 %
/// at a period of 10, 20 and 50 ms, against 1.1, 1.2 and 2.2 % with p_i alone; the easy ones are
/// the same.
class ShareFit {
public:
  /// @param amount  > 0
  /// @param prior  p_i, the share where the samples do not tell it
  void claim(std::uint32_t listener, double amount, double prior);
  /// Ends a sample in which the counter moved by amount (y).
  void end_sample(double amount);
  /// s_i; nullopt if the listener is not among those fitted.
  std::optional<double> share(std::uint32_t listener) const;
  void forget(std::uint32_t listener);

private:
  /// Claims of further listeners in the same sample are not fitted: their part of the counter is
  /// taken to be what their prior says.
  static constexpr std::size_t most_listeners = 16;

  struct Fitted {
    std::optional<std::uint32_t> listener;
    double claimed = 0; ///< in the current sample
    double prior = 0;
    double share = 0;
    double amount = 0;                             ///< sum over the samples of x_i y / v
    std::array<double, most_listeners> products{}; ///< the same of x_i x_j / v, by j
  };

  void take_in(double amount);
  Fitted *place_for(std::uint32_t listener);
  void fit();
  void clear(std::size_t place);

  std::array<Fitted, most_listeners> fitted_;
  double not_fitted_ = 0; ///< expected drops of claims in this sample that are not fitted
};

} // namespace backlog
