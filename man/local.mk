# SPDX-License-Identifier: BSD-2-Clause
# Manual pages. A page that describes several symbols is found under each of
# their names: links are made of a list, as pages with one .so line.
dist_man_MANS += \
	%D%/dedup-copy.1 \
	%D%/libvdo.3 \
	%D%/libvdo-compat.7 \
	%D%/libvdo-format.5 \
	%D%/libvdo-security.7 \
	%D%/vdo-options.7 \
	%D%/vdo-tutorial.7 \
	%D%/vdo_check.3 \
	%D%/vdo_config_new.3 \
	%D%/vdo_cq_new.3 \
	%D%/vdo_device_open.3 \
	%D%/vdo_estimate.3 \
	%D%/vdo_format.3 \
	%D%/vdo_grow.3 \
	%D%/vdo_index_inspect.3 \
	%D%/vdo_inspect.3 \
	%D%/vdo_job.3 \
	%D%/vdo_map_extents.3 \
	%D%/vdo_open.3 \
	%D%/vdo_poll.3 \
	%D%/vdo_pread.3 \
	%D%/vdo_rebuild.3 \
	%D%/vdo_savings.3 \
	%D%/vdo_sim_new.3 \
	%D%/vdo_space_watch.3 \
	%D%/vdo_stats_get.3 \
	%D%/vdo_strerror.3 \
	%D%/vdo_sub_create.3 \
	%D%/vdo_suspend.3 \
	%D%/vdo_trim.3 \
	%D%/vdo_usage_inspect.3 \
	%D%/vdo_version.3 \
	%D%/vdoctl.1 \
	%D%/vdoctl-check.1

links_vdo_check = \
	%D%/links/vdo_check_device.3 \
	%D%/links/vdo_check_mend.3 \
	%D%/links/vdo_check_name.3 \
	%D%/links/vdo_check_report_get.3 \
	%D%/links/vdo_check_severity.3 \
	%D%/links/vdo_check_severity_name.3 \
	%D%/links/vdo_check_structure.3 \
	%D%/links/vdo_check_text.3 \
	%D%/links/vdo_check_undo.3 \
	%D%/links/vdo_check_undo_device.3
links_vdo_config_new = \
	%D%/links/vdo_config_free.3 \
	%D%/links/vdo_config_set.3 \
	%D%/links/vdo_config_get.3 \
	%D%/links/vdo_config_describe.3 \
	%D%/links/vdo_config_set_log.3 \
	%D%/links/vdo_config_set_pool.3 \
	%D%/links/vdo_size_parse.3
links_vdo_cq_new = \
	%D%/links/vdo_cq_free.3 \
	%D%/links/vdo_cq_fd.3 \
	%D%/links/vdo_cq_reap.3 \
	%D%/links/vdo_cq_complete.3
links_vdo_device_open = \
	%D%/links/vdo_device_open_config.3 \
	%D%/links/vdo_device_open_memory.3 \
	%D%/links/vdo_device_open_custom.3 \
	%D%/links/vdo_device_size.3 \
	%D%/links/vdo_device_close.3
links_vdo_estimate = \
	%D%/links/vdo_estimate_device.3
links_vdo_format = \
	%D%/links/vdo_format_device.3 \
	%D%/links/vdo_format_plan.3 \
	%D%/links/vdo_format_plan_device.3
links_vdo_index_inspect = \
	%D%/links/vdo_index_fault_name.3 \
	%D%/links/vdo_index_inspect_device.3 \
	%D%/links/vdo_index_rebuild.3 \
	%D%/links/vdo_index_rebuild_device.3 \
	%D%/links/vdo_index_rebuilt_get.3 \
	%D%/links/vdo_index_report_get.3 \
	%D%/links/vdo_index_state_name.3 \
	%D%/links/vdo_index_verify.3 \
	%D%/links/vdo_index_verify_device.3
links_vdo_inspect = \
	%D%/links/vdo_inspect_device.3
links_vdo_job = \
	%D%/links/vdo_job_cancel.3 \
	%D%/links/vdo_job_free.3 \
	%D%/links/vdo_job_progress.3 \
	%D%/links/vdo_job_wait.3
links_vdo_map_extents = \
	%D%/links/vdo_map_changes.3 \
	%D%/links/vdo_map_kind_name.3
links_vdo_open = \
	%D%/links/vdo_open_start.3 \
	%D%/links/vdo_open_device_start.3 \
	%D%/links/vdo_opened_get.3 \
	%D%/links/vdo_open_device.3 \
	%D%/links/vdo_close.3 \
	%D%/links/vdo_abandon.3 \
	%D%/links/vdo_volume_size.3 \
	%D%/links/vdo_volume_alignment.3 \
	%D%/links/vdo_volume_is_read_only.3 \
	%D%/links/vdo_volume_read_only_reason.3 \
	%D%/links/vdo_volume_set.3
links_vdo_poll = \
	%D%/links/vdo_volume_fd.3
links_vdo_pread = \
	%D%/links/vdo_pwrite.3 \
	%D%/links/vdo_preadv.3 \
	%D%/links/vdo_pwritev.3 \
	%D%/links/vdo_flush.3 \
	%D%/links/vdo_discard.3 \
	%D%/links/vdo_write_zeroes.3 \
	%D%/links/vdo_aio_pread.3 \
	%D%/links/vdo_aio_pwrite.3 \
	%D%/links/vdo_aio_preadv.3 \
	%D%/links/vdo_aio_pwritev.3 \
	%D%/links/vdo_aio_flush.3 \
	%D%/links/vdo_aio_discard.3 \
	%D%/links/vdo_copy_range.3 %D%/links/vdo_aio_copy_range.3 \
	%D%/links/vdo_aio_submit.3 \
	%D%/links/vdo_aio_write_zeroes.3
links_vdo_rebuild = \
	%D%/links/vdo_mark_read_only.3 \
	%D%/links/vdo_mark_read_only_device.3 \
	%D%/links/vdo_rebuild_device.3 \
	%D%/links/vdo_rebuilt_get.3
links_vdo_savings = \
	%D%/links/vdo_savings_device.3 \
	%D%/links/vdo_savings_get.3
links_vdo_sim_new = \
	%D%/links/vdo_sim_device.3 \
	%D%/links/vdo_sim_fail_io.3 \
	%D%/links/vdo_sim_fail_power.3 \
	%D%/links/vdo_sim_fail_power_at.3 \
	%D%/links/vdo_sim_free.3 \
	%D%/links/vdo_sim_heal_io.3 \
	%D%/links/vdo_sim_open.3 \
	%D%/links/vdo_sim_operations.3 \
	%D%/links/vdo_sim_power.3 \
	%D%/links/vdo_sim_random.3 \
	%D%/links/vdo_sim_restore_power.3
links_vdo_stats_get = \
	%D%/links/vdo_stats_free.3 \
	%D%/links/vdo_stats_count.3 \
	%D%/links/vdo_stats_at.3 \
	%D%/links/vdo_stats_value.3
links_vdo_strerror = \
	%D%/links/vdo_error_name.3
links_vdo_sub_create = \
	%D%/links/vdo_sub_changes.3 \
	%D%/links/vdo_sub_clone.3 \
	%D%/links/vdo_sub_copy.3 \
	%D%/links/vdo_sub_list.3 \
	%D%/links/vdo_sub_open.3 \
	%D%/links/vdo_sub_places.3 \
	%D%/links/vdo_sub_remove.3 \
	%D%/links/vdo_sub_rename.3 \
	%D%/links/vdo_sub_resize.3 \
	%D%/links/vdo_sub_snapshot.3 \
	%D%/links/vdo_sub_stat.3
links_vdo_suspend = \
	%D%/links/vdo_resume.3
links_vdo_space_watch = \
	%D%/links/vdo_space_retry.3
links_vdo_trim = \
	%D%/links/vdo_trim_device.3 \
	%D%/links/vdo_trimmed_get.3
links_vdo_usage_inspect = \
	%D%/links/vdo_usage_inspect_device.3 \
	%D%/links/vdo_usage_count.3 \
	%D%/links/vdo_usage_count_device.3 \
	%D%/links/vdo_usage_get.3

man_links = \
	$(links_vdo_check) \
	$(links_vdo_config_new) \
	$(links_vdo_cq_new) \
	$(links_vdo_device_open) \
	$(links_vdo_estimate) \
	$(links_vdo_format) \
	$(links_vdo_index_inspect) \
	$(links_vdo_inspect) \
	$(links_vdo_job) \
	$(links_vdo_map_extents) \
	$(links_vdo_open) \
	$(links_vdo_poll) \
	$(links_vdo_pread) \
	$(links_vdo_rebuild) \
	$(links_vdo_savings) \
	$(links_vdo_sim_new) \
	$(links_vdo_stats_get) \
	$(links_vdo_strerror) \
	$(links_vdo_sub_create) \
	$(links_vdo_suspend) \
	$(links_vdo_space_watch) \
	$(links_vdo_trim) \
	$(links_vdo_usage_inspect)

man_MANS = $(man_links)
CLEANFILES += $(man_links)

$(links_vdo_check):
	$(man_link)/vdo_check.3 >$@
$(links_vdo_config_new):
	$(man_link)/vdo_config_new.3 >$@
$(links_vdo_cq_new):
	$(man_link)/vdo_cq_new.3 >$@
$(links_vdo_device_open):
	$(man_link)/vdo_device_open.3 >$@
$(links_vdo_estimate):
	$(man_link)/vdo_estimate.3 >$@
$(links_vdo_format):
	$(man_link)/vdo_format.3 >$@
$(links_vdo_index_inspect):
	$(man_link)/vdo_index_inspect.3 >$@
$(links_vdo_inspect):
	$(man_link)/vdo_inspect.3 >$@
$(links_vdo_job):
	$(man_link)/vdo_job.3 >$@
$(links_vdo_map_extents):
	$(man_link)/vdo_map_extents.3 >$@
$(links_vdo_open):
	$(man_link)/vdo_open.3 >$@
$(links_vdo_poll):
	$(man_link)/vdo_poll.3 >$@
$(links_vdo_pread):
	$(man_link)/vdo_pread.3 >$@
$(links_vdo_rebuild):
	$(man_link)/vdo_rebuild.3 >$@
$(links_vdo_savings):
	$(man_link)/vdo_savings.3 >$@
$(links_vdo_sim_new):
	$(man_link)/vdo_sim_new.3 >$@
$(links_vdo_stats_get):
	$(man_link)/vdo_stats_get.3 >$@
$(links_vdo_strerror):
	$(man_link)/vdo_strerror.3 >$@
$(links_vdo_sub_create):
	$(man_link)/vdo_sub_create.3 >$@
$(links_vdo_suspend):
	$(man_link)/vdo_suspend.3 >$@
$(links_vdo_space_watch):
	$(man_link)/vdo_space_watch.3 >$@
$(links_vdo_trim):
	$(man_link)/vdo_trim.3 >$@
$(links_vdo_usage_inspect):
	$(man_link)/vdo_usage_inspect.3 >$@

# AM_V_GEN is empty or prints the name.
man_link = $(AM_V_GEN)$(MKDIR_P) %D%/links && echo .so man3

if HAVE_NBDKIT
dist_man_MANS += %D%/nbdkit-vdo-plugin.1
endif
