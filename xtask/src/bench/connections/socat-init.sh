#!/bin/busybox sh
# PID 1 of the guest that is measured beside EnclaveOS: the same app, reached by socat, as is usual in this field.
# It says to its host what EnclaveOS says, so that the host takes it for an enclave that is ready.
b=/bin/busybox
$b mkdir -p /dev /proc
$b ln -s busybox /bin/sh
$b mount -t devtmpfs none /dev
$b mount -t proc none /proc
$b ifconfig lo 127.0.0.1 up
ulimit -n 65536
/rootfs/app &
for port in 8080 8081 8082; do
	/socat "VSOCK-LISTEN:$port,fork,backlog=1024" "TCP:127.0.0.1:$port" &
done
# No socat between the program and its socket: what vsock itself gives.
/socat VSOCK-LISTEN:8083,fork 'EXEC:/rootfs/app transfer,nofork' &
/socat VSOCK-LISTEN:49510,fork "SYSTEM:$b cat /events; $b sleep 100000" &
while ! $b nc 127.0.0.1 8080 </dev/null; do $b usleep 20000; done
$b printf '\267' | /socat -t 5 - VSOCK-CONNECT:2:9000 >/dev/null
while :; do $b sleep 100000; done
