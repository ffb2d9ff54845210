cd /tmp/shimrt
timeout 40 ip netns exec shrt-a env LD_PRELOAD=/tmp/shimrt/libsluice.so SLUICE_LOG=${LOG:-info} ./socket_api 10.77.0.2 9000 $1 > s.out 2>s.err; echo rc $?
timeout 30 ip netns exec shrt-a ./socket_api 10.77.0.2 9000 $1 > k.out
diff k.out s.out; tail -3 s.err
