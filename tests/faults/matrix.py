"""The fault matrix: each fault that the platform must survive, the promise to the caller, and the tests that show it.

A row is shown by the tests in this folder that are named after it (`test_u13_...`), and by those that it names itself,
which stand where the behaviour lives. U are faults of a provider, C of a caller.
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
        "A reader who never reads holds no more than its own call, in bounded memory.",
        (f"{GATEWAY_STREAMS}test_backend_is_held_back_by_a_caller_that_does_not_read",),
    ),
    Row(
        "C8",
        "Streams of one caller that wait leave room for the calls, writes and connections of others.",
        ("services/test_crowds.py::test_streams_of_one_caller_that_wait_leave_room_for_calls_writes_and_connections",),
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

ROWS = (*UPSTREAM, *CLIENT)
