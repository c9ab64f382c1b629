# For each line of input one call of raindrops, all TCP listeners; answers with microseconds.
# "warm": wall time; "at_pace": CPU time of the thread, with 25 ms of sleep before.
require "raindrops"

$stdout.sync = true
while (how = $stdin.gets)
  clock = how.strip == "warm" ? Process::CLOCK_MONOTONIC : Process::CLOCK_THREAD_CPUTIME_ID
  begin_time = Process.clock_gettime(clock, :float_microsecond)
  sleep 0.025 unless how.strip == "warm"
  Raindrops::Linux.tcp_listener_stats
  puts Process.clock_gettime(clock, :float_microsecond) - begin_time
end
