/* SPDX-License-Identifier: MIT */
/*
 * A guest's UDP server: udp_echo PORT N sends N datagrams back to where they came from, each byte plus one, and ends.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    static unsigned char buf[65536];
    const struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argc > 2 ? argv[1] : "0")) };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (argc != 3 || fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0) {
        perror("udp_echo");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (int n = atoi(argv[2]); n > 0; n--) {
        struct sockaddr_in from;
        socklen_t from_len = sizeof(from);
        ssize_t len = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len);
        for (ssize_t i = 0; i < len; i++)
            buf[i]++;
        if (len < 0 || sendto(fd, buf, (size_t)len, 0, (struct sockaddr *)&from, from_len) != len) {
            perror("udp_echo");
            return 1;
        }
    }
    return 0;
}
