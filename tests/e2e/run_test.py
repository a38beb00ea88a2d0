#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""End-to-end laws of the doppel program: run_test.py DOPPEL GUEST STRESS SUITE ENGINE PEER, SUITE is `board`, `control`, `linux`,
`disk`, `net`, `share`, `devices` or `riscv`.

`board` and `control` use the small guest tests/guests/board.S; the others the Debian guest that `make guests` fetched (skipped with exit
77 when it is not there), and in it STRESS and PEER, tests/guests/smp_stress.c and vsock_peer.c; `disk` and `net`
use disk_writer and udp_echo beside STRESS, too. Each law is a function in
laws/SUITE.py; its name is printed with the verdict.
"""
import sys
import time
import traceback

sys.dont_write_bytecode = True
from laws import board, control, devices, disk, linux, nbd, net, riscv, share # pylint: disable=wrong-import-position
from laws.harness import ENGINE, doctor # pylint: disable=wrong-import-position

SUITES = {
    'board': [board.each_end_has_its_status_and_at_most_one_line, board.the_debug_exit_port_gives_the_status_and_output_is_exact,
              board.bytes_pass_unchanged_in_a_pipe, board.bad_usage_exits_2_and_bad_files_1_with_one_line,
              board.a_signal_or_the_time_limit_ends_any_guest_within_a_second, board.with_reboot_a_reset_restarts_and_a_panic_still_ends,
              board.a_halted_guest_uses_no_host_cpu, board.stats_go_to_stderr_and_count_instructions,
              board.auto_takes_the_first_engine_that_works, board.a_disk_brings_its_kernel_along, board.the_terminal_is_restored_however_it_ends, board.escape_keys_help_and_send_themselves],
    'control': [control.ps_lists_what_runs_and_a_pause_stops_it, control.stop_asks_the_guest_first, control.names_are_unique_and_dead_sockets_are_removed,
                control.the_console_can_be_attached_to, control.the_monitor_on_the_terminal_performs_actions, control.the_console_goes_where_serial_says,
                control.a_machine_runs_sandboxed_and_says_so],
    'linux': [linux.the_commands_output_and_status_are_the_programs, linux.stdin_reaches_the_command_whole,
              linux.the_kernel_finds_nothing_to_complain_about, linux.the_guest_uses_kvms_interface_and_has_no_complaint,
              linux.what_the_host_gives_to_others_is_steal, linux.threads_on_several_cpus_find_what_cpus_owe_them,
              linux.a_small_code_cache_costs_time_only, linux.a_panic_shows_the_console_and_exits_1,
              linux.power_off_and_reset_before_the_command_ends_are_failures,
              linux.a_command_whose_reader_left_ends, linux.an_idle_linux_uses_little_host_cpu,
              linux.a_signal_ends_a_busy_guest_within_a_second, linux.a_shell_on_a_terminal_works],
    'disk': [disk.random_bytes_come_from_the_host, disk.guests_read_and_write_a_disk, disk.a_disk_works_in_a_sandbox, disk.a_file_system_outlives_the_machine_that_made_it,
             disk.a_read_only_disk_is_not_written, disk.an_overlay_leaves_the_disk_alone, disk.interrupts_work_without_msi,
             disk.a_restarted_machine_has_its_disk_again, disk.sixteen_disks_are_possible, disk.bad_disks_are_refused_in_one_line,
             disk.a_full_host_is_an_io_error_and_nothing_is_lost, disk.a_limit_of_file_sizes_is_an_io_error_of_the_guest, disk.what_was_said_to_be_safe_outlives_a_kill,
             nbd.an_image_is_read_and_written_by_a_server, nbd.a_uri_names_a_server_that_runs, nbd.without_its_server_a_disk_gives_errors_and_the_machine_goes_on,
             nbd.a_server_of_ours_does_not_outlive_us, nbd.bad_servers_and_images_are_refused_in_one_line, nbd.a_real_qcow2_image_is_read_and_written],
    'net': [net.a_machine_has_no_network_unless_asked_for, net.the_guest_reaches_the_hosts_loopback_through_the_gateway, net.transfers_do_not_stand_still,
            net.what_the_guest_sends_arrives_whole, net.dhcp_and_the_gateway_answer, net.a_restricted_guest_reaches_nothing,
            net.ports_of_the_host_lead_into_the_guest, net.datagrams_of_any_size_pass_through_a_forwarded_port,
            net.the_guest_has_ipv6_and_can_do_without, net.questions_without_a_name_server_are_told_of_once, net.an_idle_network_uses_little_host_cpu, net.a_restarted_machine_has_its_network_again,
            net.an_interface_of_the_host_is_a_network, net.bad_networks_are_refused_in_one_line],
    'share': [share.a_share_is_at_the_same_place_and_so_is_the_command, share.files_of_a_share_are_written_renamed_and_run,
              share.a_big_file_arrives_whole_in_both_directions, share.a_read_only_share_is_not_changed, share.links_are_followed_in_the_guest_only,
              share.shares_have_tags_and_lie_in_each_other, share.bad_shares_are_refused_in_one_line],
    'devices': [devices.hvc0_is_a_terminal_that_knows_its_size, devices.a_second_terminal_has_its_own_shell_and_loses_nothing,
                devices.a_pseudo_terminal_passes_its_size_on,
                devices.the_guest_gives_free_memory_back, devices.sockets_connect_guest_and_host, devices.a_stop_powers_our_guest_off,
                devices.bad_devices_are_refused_in_one_line],
    'riscv': [riscv.the_commands_output_and_status_are_the_programs, riscv.every_size_of_machine_boots_without_a_complaint,
              riscv.harts_work_at_the_same_time, riscv.processes_keep_their_vectors, riscv.disks_are_read_and_written_and_in_order, riscv.the_guest_reaches_the_host_through_the_gateway,
              riscv.a_share_is_at_the_same_place, riscv.every_kind_of_device_has_its_place, riscv.devices_on_pci_interrupt, riscv.the_clock_is_the_hosts,
              riscv.compressed_kernels_boot, riscv.the_tree_of_a_guest_boots_it_again, riscv.every_end_is_told_apart, riscv.a_shell_on_a_terminal_works,
              riscv.a_restarted_machine_has_its_disk_and_its_kernel_again, riscv.what_does_not_fit_is_said_in_one_line],
}
if ENGINE == 'interp': # chips are the same for all engines
    SUITES['net'] = [net.the_guest_reaches_the_hosts_loopback_through_the_gateway, net.ports_of_the_host_lead_into_the_guest]
    SUITES['disk'] = [disk.random_bytes_come_from_the_host, disk.guests_read_and_write_a_disk, disk.a_disk_works_in_a_sandbox, disk.a_restarted_machine_has_its_disk_again]
    SUITES['share'] = [share.files_of_a_share_are_written_renamed_and_run]
    SUITES['devices'] = [devices.hvc0_is_a_terminal_that_knows_its_size, devices.sockets_connect_guest_and_host]
if ENGINE in ('direct', 'kvm'): # nobody counts what the bare CPU executes
    SUITES['board'].remove(board.stats_go_to_stderr_and_count_instructions)
if ENGINE == 'bt':
    SUITES['linux'] += [linux.stats_say_what_bt_did_and_where_time_went, linux.traced_code_names_guest_and_host_instructions]


def main():
    suite = sys.argv[4]
    report = doctor()
    why = next((e['why'] for e in report['engines'] if e['engine'] == ENGINE and not e['usable']), None)
    if why:
        print(f'skipped: engine {ENGINE} does not work here: {why}')
        sys.exit(77)
    if suite == 'riscv' and not riscv.kernel():
        print('skipped: no riscv64 guest (make guests ARCH=riscv64)')
        sys.exit(77)
    if suite not in ('board', 'control', 'riscv') and not report['guests']['x86-64']:
        print('skipped: no Debian guest (make guests)')
        sys.exit(77)
    failed = 0
    for law in SUITES[suite]:
        begin = time.monotonic()
        try:
            law()
            verdict = 'ok'
        except Exception:  # a law that raises is broken, whatever it raises
            traceback.print_exc(file=sys.stdout)
            verdict = 'FAIL'
            failed += 1
        print(f'{verdict:5} {time.monotonic() - begin:6.1f} s  {law.__name__}', flush=True)
    sys.exit(1 if failed else 0)


main()
