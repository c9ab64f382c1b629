# For each line of input one call of raindrops, all TCP listeners; answers with microseconds.
require "raindrops"

$stdout.sync = true
while $stdin.gets
  begin_time = Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_microsecond)
  Raindrops::Linux.tcp_listener_stats
  puts Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_microsecond) - begin_time
end
