# Packs and unpacks the tree in ./tmp/tree with busybox' tar and gzip. usage: targz.sh ROUNDS
i=0
while [ $i -lt "$1" ]; do
    ./busybox tar -c -f - -C tmp tree | ./busybox gzip -c >tmp/tree.tar.gz
    i=$((i + 1))
done
./busybox gzip -d -c tmp/tree.tar.gz | ./busybox wc -c
