"""The fault matrix: each fault that the platform must survive, the promise to the caller, and the tests that show it.

A row is shown by the tests in this folder that are named after it (`test_u13_...`), and by those that it names itself,
which stand where the behaviour lives. U are faults of a provider, C of a caller, S of a service, D of
its storage.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A fault, and what its caller is promised."""

    id: str
    promise: str
    tests: tuple[str, ...] = ()
    """Tests beside those named after the row, as `module::test`, with the module's path in `tests`."""
    left_out: str = ""
    """The part of the fault that no test shows, and why."""


CONTRACT = "wire/test_adapter_contract.py::"
CHAT = "services/test_model_service_chat.py::"
ATTEMPTS = "services/test_attempts.py::"

UPSTREAM = (
    Row("U1", "A rate limit with a short Retry-After is waited for, and the chat is answered."),
    Row("U2", "A rate limit that lasts is told with its delay, after three requests."),
    Row(
        "U3",
        "A Retry-After of minutes is told at once, and nothing waits for it.",
        (f"{ATTEMPTS}test_failure_that_no_second_request_mends_is_told_at_once",),
    ),
    Row(
        "U4",
        "A quota that is used up is no rate limit: no delay is told, and only another model is tried.",
        (f"{CONTRACT}test_waiting_does_not_fill_a_quota",),
    ),
    Row(
        "U5",
        "A server that fails is asked three times, with growing pauses, and never quoted.",
        (f"{ATTEMPTS}test_failure_before_the_first_output_is_tried_again",),
    ),
    Row("U6", "An overloaded server is the same error by its status and by an event, and counts for the breaker."),
    Row(
        "U7",
        "Where half of all requests fail, the retry budget mends a part, and bounds the requests.",
        (f"{ATTEMPTS}test_total_outage_sends_at_most_a_quarter_more_requests",),
    ),
    Row(
        "U8",
        "A server that fails everything is left alone, but for one trial at a time, and used again once it works.",
        (f"{ATTEMPTS}test_target_that_fails_every_request_is_left_alone_for_a_while",),
    ),
    Row(
        "U9",
        "A server that refuses, has no address or does not accept is given up within the connect timeout.",
        ("wire/test_transport.py::test_host_that_does_not_accept_is_given_up_after_the_connect_timer",),
    ),
    Row(
        "U10",
        "A server that never says a byte ends in time, or at the caller's deadline, and its connection is closed.",
        (f"{CONTRACT}test_server_that_never_answers",),
    ),
    Row(
        "U11",
        "Heads that come byte by byte end in the time of the first output, and hold up no other call.",
        ("wire/test_transport.py::test_no_head_in_time",),
    ),
    Row(
        "U12",
        "Pings and comments are no output: a stream of nothing else ends in time, and another model may answer.",
        (
            "services/test_timeouts.py::test_clock_of_the_request_ends_an_answer_that_is_too_slow",
            "services/test_timeouts.py::test_fallback_answers_when_the_first_output_is_late",
            f"{CONTRACT}test_pings_are_no_content",
            f"{CONTRACT}test_pings_before_the_first_piece",
        ),
    ),
    Row(
        "U13",
        "A stream that stalls behind output ends with what was delivered and used, and is never tried again.",
        (
            f"{CONTRACT}test_server_that_falls_silent",
            "services/test_chat_in_session.py::test_a_failed_stream_stores_nothing_and_lets_the_next_turn_begin_at_once",
        ),
    ),
    Row(
        "U14",
        "An event that cannot be read is an error without any text of Python's, and never skipped.",
        (
            f"{CONTRACT}test_stream_that_does_not_end_as_it_should",
            "wire/test_hostile_answers.py::test_what_cannot_be_read_in_any_event_of_a_stream",
            "services/test_model_service_secrets.py::test_no_fault_of_a_provider_tells_anything",
        ),
    ),
    Row(
        "U15",
        "A connection that is reset or closed in mid-stream is an error behind the tokens, and never tried again.",
        (
            f"{CHAT}test_fault_in_mid_stream_comes_after_the_tokens_and_is_never_ok",
            f"{CONTRACT}test_connection_breaks_in_mid_stream",
            f"{ATTEMPTS}test_nothing_is_tried_again_once_output_was_given",
        ),
    ),
    Row(
        "U16",
        "A clean end without the terminal marker is never OK.",
        (
            f"{CHAT}test_fault_in_mid_stream_comes_after_the_tokens_and_is_never_ok",
            "wire/test_stream_decoders.py::test_without_its_end_no_transcript_is_whole",
        ),
    ),
    Row(
        "U17",
        "A break behind the end of the answer costs its usage, which is estimated, and not the answer.",
        (f"{CONTRACT}test_answer_is_whole_although_its_usage_is_lost",),
    ),
    Row(
        "U18",
        "A stream without end ends at the largest answer or at the deadline, and its connection is closed.",
        (
            f"{CONTRACT}test_answer_without_end_is_cut",
            "wire/test_endless_answers.py::test_text_without_end_is_left",
            "wire/test_endless_answers.py::test_deadline_ends_what_goes_on_for_ever",
        ),
    ),
    Row(
        "U19",
        "A line without end is cut at the largest event (24 MiB), and a process grows by no more than twice as much.",
        ("wire/test_endless_answers.py::test_stream_without_end_is_left",),
    ),
    Row(
        "U20",
        "A page of HTML, an empty body or another object behind 200 is no answer, and another model may answer.",
        (
            f"{CHAT}test_page_of_html_is_no_answer",
            f"{CONTRACT}test_200_that_is_no_answer",
            f"{ATTEMPTS}test_fallback_answers_at_once",
        ),
    ),
    Row(
        "U21",
        "A redirect is refused, and the prompt goes nowhere else.",
        ("wire/test_transport.py::test_redirect_is_refused_and_the_body_not_sent_again",),
    ),
    Row(
        "U22",
        "A refused key of the platform is not the caller's fault, is not tried again, and is never told.",
        (
            f"{CHAT}test_rejected_key_of_the_platform_is_not_the_callers_fault",
            f"{ATTEMPTS}test_failure_that_no_second_request_mends_is_told_at_once",
            "services/test_model_service_secrets.py::test_no_status_of_a_provider_tells_anything",
        ),
    ),
    Row(
        "U23",
        "A refused request has its own reason for content, context and size; a longer context may be found elsewhere.",
        (
            f"{CONTRACT}test_every_refusal_has_its_meaning",
            f"{ATTEMPTS}test_failure_that_no_second_request_mends_is_told_at_once",
            f"{ATTEMPTS}test_fallback_answers_at_once",
        ),
    ),
    Row(
        "U24",
        "A model that the provider does not have is another error than a name that the platform does not know.",
        (
            f"{CONTRACT}test_every_refusal_has_its_meaning",
            "services/test_model_service_names.py::test_unknown_model_is_not_found_with_the_nearest_names",
        ),
    ),
    Row("U25", "A server whose certificate is expired, of another host or not trusted gets no request."),
    Row(
        "U26",
        "Late, repeated and split events neither repeat nor lose anything, and half a character stays readable.",
        (
            f"{CONTRACT}test_what_comes_after_the_end_of_the_stream_cannot_spoil_it",
            f"{CONTRACT}test_emoji_split_over_two_deltas_is_one",
            f"{CONTRACT}test_half_a_character_is_replaced_in_every_text_of_an_answer",
            "wire/test_odd_responses.py::test_a_call_comes_out_once",
            "wire/test_endless_answers.py::test_arguments_in_thousands_of_pieces",
        ),
    ),
    Row(
        "U27",
        "Without any key the service starts, names the variable to set, and serves the other models.",
        (
            "services/test_model_service_process.py::test_start_line_says_what_to_do_without_a_provider",
            "services/test_model_service_names.py::test_without_a_key_the_call_says_which_variable_to_set",
            "services/test_model_service_names.py::test_status_of_a_model_whose_provider_has_no_key_says_so",
            f"{ATTEMPTS}test_model_that_is_not_set_up_is_passed_over",
        ),
    ),
)

CANCEL = "services/test_model_service_cancel.py::"
BYTES = "services/test_model_service_bytes.py::"
VALIDATION = "services/test_model_service_validation.py::"
METADATA = "services/test_metadata.py::"
GATEWAY_STREAMS = "services/gateway/test_streams.py::"
SDK_CALLS = "services/sdk/test_calls.py::"
SDK_STREAMS = "services/sdk/test_streams.py::"
SESSION_FAULTS = "services/test_chat_in_session_faults.py::"

CLIENT = (
    Row(
        "C1",
        "A call that is cancelled, at any stage, ends within a second with all that it held; a whole answer is stored.",
        (
            f"{CANCEL}test_cancelled_stream_closes_the_providers_socket",
            f"{CANCEL}test_cancelled_chat_closes_the_providers_socket",
            f"{SESSION_FAULTS}test_a_turn_cancelled_at_any_moment_is_whole_or_absent_and_blocks_nobody",
            f"{SESSION_FAULTS}test_whoever_leaves_during_the_append_leaves_a_whole_turn",
        ),
    ),
    Row(
        "C2",
        "A deadline that passes, at any stage, does the same, and is told and logged as a deadline.",
        (
            f"{CANCEL}test_deadline_closes_the_providers_socket",
            f"{SESSION_FAULTS}test_a_caller_in_a_hurry_has_the_answer_before_its_deadline_although_the_append_hangs",
            "services/gateway/test_cancellation.py::test_backend_is_told_the_time_that_the_caller_has_left",
        ),
    ),
    Row(
        "C3",
        "A call without a deadline gets one.",
        (
            "services/test_rpc_boundary.py::test_call_without_a_deadline_gets_one",
            f"{SDK_CALLS}test_every_call_has_a_deadline",
        ),
    ),
    Row(
        "C4",
        "A timeout that grpc would take for none is refused by the SDK.",
        (f"{SDK_CALLS}test_a_timeout_that_means_no_deadline_is_a_value_error",),
    ),
    Row(
        "C5",
        "However a program leaves a stream (break, drop, timeout, cancelled task, kill -9), the call is cancelled.",
        (
            f"{SDK_STREAMS}test_leaving_a_stream_cancels_the_call_at_once",
            f"{SDK_STREAMS}test_an_unread_async_stream_is_cancelled_when_it_is_dropped",
            f"{SDK_STREAMS}test_cancelling_the_reading_task_cancels_the_call",
            f"{SDK_STREAMS}test_a_timeout_around_an_async_stream_cancels_the_call",
            f"{CANCEL}test_killed_caller_closes_the_providers_socket",
        ),
    ),
    Row(
        "C6",
        "A slow reader gets all of its answer, holds its provider back, and costs others nothing.",
        (f"{GATEWAY_STREAMS}test_backend_is_held_back_by_a_caller_that_does_not_read",),
    ),
    Row(
        "C7",
        "A stream that nobody reads for a minute is ended, and its provider left; one that is read slowly is not.",
        (
            "services/test_slow_readers.py::test_stream_that_nobody_reads_is_ended",
            "services/test_slow_readers.py::test_stream_that_is_read_slowly_is_not_ended",
            "services/test_slow_readers.py::test_large_responses_beyond_their_share_are_refused",
            "services/test_shared_answers.py::test_caller_that_does_not_read_holds_up_nobody",
        ),
    ),
    Row(
        "C8",
        "Idle streams cost a process 128 KiB at most, and those of one caller leave room for all others.",
        ("services/test_crowds.py::test_streams_of_one_caller_that_wait_leave_room_for_calls_writes_and_connections",),
        left_out="more than 1,000 of them, which would take the suite half a minute",
    ),
    Row(
        "C9",
        "A request or a response above the size of a message is refused as that; the SDK does not even send it.",
        (
            f"{VALIDATION}test_request_that_is_too_large_is_refused",
            "services/test_intake.py::test_too_large_response_is_an_output_limit",
            f"{GATEWAY_STREAMS}test_request_above_32_mebibytes_is_resource_exhausted_and_reaches_no_backend",
            f"{SDK_CALLS}test_a_request_above_the_limit_is_refused_before_it_is_sent",
        ),
    ),
    Row(
        "C10",
        "Metadata have one limit in every hop, and the refusal names it.",
        (
            f"{METADATA}test_as_much_metadata_as_is_allowed_passes_directly_and_through_the_gateway",
            f"{METADATA}test_more_metadata_is_refused_in_the_same_words",
        ),
    ),
    Row(
        "C11",
        "Bytes that are no request are refused by their first wrong field, and no text of Python's is told.",
        (
            f"{BYTES}test_bytes_that_are_no_request_are_refused_by_their_first_wrong_field",
            f"{BYTES}test_message_that_is_nested_too_deeply_is_refused",
            f"{BYTES}test_any_bytes_get_an_answer_from_every_method",
        ),
    ),
    Row(
        "C12",
        "Values beyond all bounds are refused by their field, and nothing is sent.",
        (
            f"{VALIDATION}test_wrong_field_is_named_and_nothing_is_sent",
            f"{VALIDATION}test_extremes_that_are_allowed_are_sent_as_they_are",
            f"{VALIDATION}test_request_of_a_million_empty_messages_is_refused_without_holding_up_others",
        ),
    ),
    Row(
        "C13",
        "No schema is fetched, unfolded without end or matched, and none holds up other calls.",
        (f"{VALIDATION}test_wrong_field_is_named_and_nothing_is_sent",),
    ),
    Row(
        "C14",
        "A NUL is refused in names and prompts, and kept in messages, by SQLite and PostgreSQL alike.",
        (
            "services/prompts/test_registry.py::test_wrong_field_is_named",
            "services/sessions/test_validation.py::test_every_bad_request_names_its_field_and_changes_nothing",
            "services/sessions/test_messages.py::test_messages_come_back_byte_for_byte",
        ),
    ),
    Row("C15", "A wrong key is refused in the same words at once.", left_out="callers have no keys yet"),
    Row(
        "C16",
        "A method that nobody serves is unimplemented, and its name fills neither memory nor log.",
        (
            "services/gateway/test_forwarding.py::test_method_without_a_route_is_unimplemented",
            "services/test_rpc_boundary.py::test_method_of_a_newer_contract_is_unimplemented",
            "services/gateway/test_log.py::test_name_of_an_unknown_method_is_cut_in_the_log",
        ),
        left_out="the label of a metric: there are no metrics yet",
    ),
    Row(
        "C17",
        "Floods of pings, settings and resets, and connections that speak TLS, cost nobody else a call.",
        ("fuzz/test_fuzz.py::test_a_short_run_at_processes_finds_nothing",),
        left_out="more calls at once than grpc lets wait (3,000): it ends some of them, whosever they are",
    ),
)

RESTARTS = "e2e/test_restarts.py::"
REPLICAS = "services/gateway/test_replicas.py::"
E2E = "e2e/test_platform.py::"
KILL = "e2e/test_storage_kill.py::test_acknowledged_writes_survive_kill_9"
PROCESS = "services/test_model_service_process.py::"
GATEWAY_PROCESS = "services/gateway/test_process.py::"
SESSION_PROCESS = "services/sessions/test_process.py::"

SERVICE = (
    Row(
        "S1",
        "When the Model Service is killed, each stream ends at once as an error, and its successor is used at once.",
        (
            f"{E2E}test_killing_the_model_service_in_mid_stream_is_no_clean_end",
            f"{E2E}test_a_dead_backend_is_named_at_once_and_works_again_within_a_second_of_its_return",
            f"{RESTARTS}test_killed_service_is_used_again_within_a_second_of_its_return",
            f"{E2E}test_a_turn_of_a_killed_model_service_leaves_nothing_but_its_lease",
            "services/test_idempotency.py::test_call_of_a_process_that_was_killed_is_taken_over",
            "services/test_chat_in_session_repeated.py::test_turn_of_a_killed_process_is_in_its_session_once",
        ),
    ),
    Row(
        "S2",
        "When the gateway is killed, calls can be repeated by their request_id until each has its one answer.",
        (
            f"{RESTARTS}test_client_survives_the_restart_of_its_gateway",
            f"{CANCEL}test_killed_caller_closes_the_providers_socket",
        ),
    ),
    Row("S3", "Every write that was answered survives kill -9, and no other is there by half.", (KILL,)),
    Row(
        "S4",
        "A stop lets the streams finish that can, ends the others after the grace, and refuses new calls.",
        (
            f"{PROCESS}test_stream_in_flight_finishes_before_a_stop",
            f"{PROCESS}test_second_signal_cuts_what_is_in_flight",
            f"{PROCESS}test_grace_is_not_longer_than_the_operator_wants",
            f"{GATEWAY_PROCESS}test_sigterm_lets_a_running_stream_finish_and_refuses_new_calls",
            f"{GATEWAY_PROCESS}test_stream_that_does_not_finish_is_cancelled_at_the_backend_too",
            f"{SESSION_PROCESS}test_service_starts_and_drains_on_sigterm",
            f"{RESTARTS}test_second_signal_ends_a_service_whose_calls_go_on",
        ),
    ),
    Row(
        "S5",
        "Replicas that are restarted one after the other fail no call, and those that return are used within a second.",
        (
            f"{RESTARTS}test_rolling_restart_of_the_model_service_fails_no_call",
            f"{RESTARTS}test_rolling_restart_of_the_session_service_fails_no_turn",
            f"{REPLICAS}test_call_that_a_stopping_replica_refuses_is_answered_by_another",
            f"{REPLICAS}test_call_that_may_have_begun_reaches_no_second_replica",
        ),
    ),
    Row(
        "S6",
        "A process that hangs gets no new call while another can answer, and goes on with its own calls afterwards.",
        (
            f"{REPLICAS}test_replica_that_hangs_gets_no_call_once_it_does_not_answer_its_checks",
            "services/gateway/test_backend_faults.py::test_backend_that_accepts_and_says_nothing_is_unavailable",
        ),
    ),
    Row(
        "S7",
        "A loop that is held misses its health checks, and the log says where; one that is stuck ends its process.",
        (
            "services/test_loop_watch.py::test_blocked_loop_is_logged_with_its_stack",
            "services/test_loop_watch.py::test_process_whose_loop_is_stuck_ends",
        ),
    ),
    Row(
        "S8",
        "A port in use is told in one line, and exit code 78.",
        (
            f"{E2E}test_a_port_in_use_is_one_line_and_exit_code_78",
            f"{PROCESS}test_port_in_use_is_told_in_one_line",
        ),
    ),
    Row(
        "S9",
        "All wrong settings are told at once, without their values, and nothing is started by half.",
        (
            f"{PROCESS}test_all_wrong_settings_are_told_at_once",
            f"{PROCESS}test_what_cannot_start_says_why_in_one_line",
            f"{GATEWAY_PROCESS}test_all_bad_settings_are_named_at_once",
            f"{SESSION_PROCESS}test_all_bad_settings_are_named_at_once",
        ),
    ),
    Row(
        "S10",
        "A change of a registry that cannot be is refused, and the last good state stays in force.",
        (
            "services/test_model_registry.py::test_name_that_leads_elsewhere_is_refused_and_nothing_changes",
            "services/test_model_registry.py::test_validate_only_refuses_what_registering_would",
            "services/prompts/test_labels.py::test_registration_that_is_refused_moves_no_label",
        ),
    ),
    Row(
        "S11",
        "A client that speaks TLS to a service without it is told so.",
        (
            "services/sdk/test_connection.py::test_tls_to_a_gateway_without_it_is_explained",
            "services/sdk/test_connection.py::test_https_and_grpcs_targets_are_spoken_to_over_tls",
        ),
        left_out="certificates of our own: the services speak no TLS, a proxy in front of them does",
    ),
    Row(
        "S12",
        "A clock that is set moves no deadline, pause or timer; ages of sessions never go backwards.",
        ("services/sessions/test_calls.py::test_clock_that_is_set_back_ages_no_session",),
    ),
    Row(
        "S13",
        "A process short of files refuses what is new and goes on with the rest; a full log volume stops nothing.",
        (
            "services/test_crowds.py::test_streams_of_one_caller_that_wait_leave_room_for_calls_writes_and_connections",
            "services/test_crowds.py::test_database_that_cannot_be_opened_for_want_of_a_descriptor_is_not_blamed",
            "wire/test_connections.py::test_process_without_a_descriptor_says_so",
        ),
        left_out="a limit of memory: a cgroup needs the rights of root",
    ),
    Row(
        "S14",
        "A client works on both sides of a fork.",
        ("services/sdk/test_connection.py::test_a_client_works_on_both_sides_of_a_fork",),
    ),
    Row("S15", "A collector of metrics that is away costs no call.", left_out="there are no metrics and traces yet"),
)

STORAGE = "services/storage/test_faults.py::"
DATABASE = "services/storage/test_database.py::"
DATABASE_FAULTS = "services/storage/test_database_faults.py::"
STORAGE_PROCESSES = "services/storage/test_processes.py::"
OUTAGE = "services/storage/test_outage.py::"
KEPT = "services/test_idempotency_storage.py::"

STORES = (
    Row(
        "D1",
        "While another process holds the lock, writes wait shortly and are then busy, and reads go on.",
        (
            f"{DATABASE_FAULTS}test_a_locked_file_is_busy_for_writers_only",
            "services/prompts/test_outage.py::test_locked_file_stops_writes_only",
            f"{KEPT}test_locked_storage_delays_no_call_beyond_its_deadline_and_leaves_the_id_free",
            f"{KEPT}test_answer_is_given_in_time_although_the_storage_is_locked_and_is_kept_later",
        ),
    ),
    Row(
        "D2",
        "A transaction that reads before it writes never loses to another that has written meanwhile.",
        (f"{DATABASE}test_a_read_cannot_write", f"{DATABASE}test_writers_take_turns"),
    ),
    Row(
        "D3",
        "A full disk refuses writes, serves reads, stores nothing by half, and is forgotten once there is room.",
        (
            f"{DATABASE_FAULTS}test_a_full_disk_stores_nothing_and_heals_without_a_restart",
            f"{STORAGE_PROCESSES}test_a_full_disk_refuses_appends_serves_reads_and_heals_without_a_restart",
        ),
    ),
    Row(
        "D4",
        "Storage that is read-only is told as that, at the start where it can be known.",
        (
            f"{DATABASE_FAULTS}test_a_read_only_file_or_directory_is_refused",
            f"{DATABASE_FAULTS}test_a_read_only_postgresql_says_so",
        ),
    ),
    Row(
        "D5",
        "A file that is corrupt or no database is refused and never overwritten; one that breaks later is data loss.",
        (
            f"{DATABASE_FAULTS}test_a_file_that_is_no_database_is_refused_and_left_alone",
            f"{DATABASE_FAULTS}test_another_program_s_database_is_refused_and_left_alone",
            f"{DATABASE_FAULTS}test_a_file_that_breaks_while_it_is_used_is_data_loss",
            f"{PROCESS}test_what_cannot_start_says_why_in_one_line",
        ),
    ),
    Row(
        "D6",
        "A write-ahead log cut or garbled anywhere yields the whole transactions before.",
        (
            f"{STORAGE}test_a_log_of_sessions_cut_or_garbled_anywhere_yields_the_whole_transactions_before",
            f"{STORAGE}test_a_log_of_prompts_and_models_cut_or_garbled_anywhere_yields_the_whole_transactions_before",
        ),
        left_out="more than 60 points of a log in each run: GENAI_TEST_WAL_POINTS=10000 tries so many",
    ),
    Row(
        "D7",
        "All connections killed at once cost no call.",
        (
            f"{STORAGE}test_all_connections_killed_at_once_cost_no_call",
            f"{DATABASE}test_connections_that_the_server_closed_are_replaced_unnoticed",
        ),
    ),
    Row(
        "D8",
        "A connection killed before the commit leaves nothing, and the transaction is run once more.",
        (
            f"{STORAGE}test_a_transaction_whose_connection_was_lost_before_the_commit_is_run_once_more",
            f"{STORAGE}test_a_connection_killed_between_the_last_statement_and_the_commit_leaves_nothing",
        ),
    ),
    Row(
        "D9",
        "A connection killed during the commit is told as unknown, and a repetition stores once.",
        (
            f"{STORAGE}test_an_append_lost_in_its_commit_is_there_once_after_it_is_repeated",
            "services/test_crowds.py::test_commit_that_was_lost_is_not_said_to_have_stored_nothing",
        ),
    ),
    Row(
        "D10",
        "Without PostgreSQL, also from the start, chats and known entries are served, and it is found again by itself.",
        (
            f"{STORAGE_PROCESSES}test_the_session_service_starts_without_its_database_and_outlives_it",
            f"{STORAGE_PROCESSES}"
            "test_the_model_service_chats_without_its_database_and_its_replicas_agree_when_it_is_back",
            f"{OUTAGE}test_silent_server_is_unavailable",
            "services/prompts/test_outage.py::test_reads_continue_and_writes_are_unavailable_during_an_outage",
        ),
    ),
    Row(
        "D11",
        "A writer without a free connection or lock is busy, and later ones are served.",
        (
            f"{STORAGE}test_writer_without_a_free_connection_is_busy",
            f"{STORAGE}test_writer_without_a_lock_is_busy",
            f"{DATABASE}test_cancelled_reads_do_not_use_up_the_connections",
        ),
    ),
    Row("D12", "A statement that is too slow is ended.", (f"{DATABASE_FAULTS}test_a_slow_statement_is_ended",)),
    Row(
        "D13",
        "A deadlock or conflict is tried again three times, and then told.",
        (
            f"{STORAGE}test_both_writers_of_a_deadlock_succeed",
            f"{STORAGE}test_a_transaction_that_always_conflicts_is_given_up_after_three_repetitions",
        ),
    ),
    Row(
        "D14",
        "An id that is taken and a state that has changed are told alike by both databases.",
        (
            f"{STORAGE}test_a_broken_constraint_is_not_tried_again",
            "services/sessions/test_equivalence.py::test_every_database_answers_as_the_model_does",
            "services/prompts/test_labels.py::test_outdated_move_conflicts_with_the_current_version",
            "services/prompts/test_operations.py::test_random_operations_have_the_same_results",
        ),
    ),
    Row(
        "D15",
        "An upgrade that is killed half-way changes nothing and is completed later; a newer schema is refused.",
        (
            f"{DATABASE_FAULTS}test_an_upgrade_that_is_killed_half_way_changes_nothing_and_the_next_start_completes_it",
            f"{DATABASE_FAULTS}test_a_newer_schema_is_refused_and_left_alone",
            f"{OUTAGE}test_a_schema_that_turns_out_to_be_newer_is_not_used",
            f"{SESSION_PROCESS}test_a_bad_database_stops_the_start",
        ),
    ),
    Row(
        "D16",
        "Many writers of one session leave no gap and no duplicate.",
        (
            "services/sessions/test_messages.py::test_64_concurrent_writers_leave_no_gap_and_no_duplicate",
            "services/sessions/test_messages.py::test_one_of_many_appends_with_the_same_expected_sequence_succeeds",
            "services/sessions/test_turns.py::test_one_of_many_concurrent_turns_begins",
        ),
    ),
)

ROWS = (*UPSTREAM, *CLIENT, *SERVICE, *STORES)
