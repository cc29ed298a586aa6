"""Names of all metrics, as Prometheus has them. Alerts, dashboards and the documents use no others.

Those of calls and of models follow OpenTelemetry's conventions (rpc 1.44, gen_ai 0.1.0), which may still change. All
others begin with `genai_`.
"""

from __future__ import annotations

# Calls, at every process.
RPC_DURATION = "rpc_server_call_duration_seconds"
CALLS = "genai_calls_total"
INFLIGHT_CALLS = "genai_inflight_calls"
ACTIVE_STREAMS = "genai_active_streams"
STREAM_ENDS = "genai_stream_end_total"
OVERHEAD = "genai_overhead_seconds"

# Processes.
EVENT_LOOP_LAG = "genai_event_loop_lag_seconds"
PYTHON_BLOCKS = "genai_python_allocated_blocks"
CERTIFICATE_END = "genai_tls_certificate_not_after_seconds"
BUILD_INFO = "genai_build_info"

# Models, at the Model Service.
INFERENCE_DURATION = "gen_ai_client_inference_duration_seconds"
TIME_TO_FIRST_CHUNK = "gen_ai_client_inference_time_to_first_chunk_seconds"
TIME_PER_OUTPUT_CHUNK = "gen_ai_client_inference_time_per_output_chunk_seconds"
INPUT_TOKENS = "gen_ai_client_inference_usage_input_tokens_total"
OUTPUT_TOKENS = "gen_ai_client_inference_usage_output_tokens_total"
CACHE_READ_INPUT_TOKENS = "gen_ai_client_inference_usage_cache_read_input_tokens_total"
CACHE_WRITE_INPUT_TOKENS = "gen_ai_client_inference_usage_cache_write_input_tokens_total"
REASONING_OUTPUT_TOKENS = "gen_ai_client_inference_usage_reasoning_output_tokens_total"
COST = "genai_cost_nano_usd_total"
UNPRICED_CALLS = "genai_usage_unpriced_calls_total"
UPSTREAM_ATTEMPTS = "genai_upstream_attempts_total"
UPSTREAM_RATE_LIMIT_REMAINING = "genai_upstream_ratelimit_remaining"
MODEL_STATUS = "genai_model_status"
MODEL_SHUTDOWN = "genai_model_shutdown_timestamp_seconds"
REGISTRY_SNAPSHOT_AGE = "genai_registry_snapshot_age_seconds"

# Limits.
LIMIT_REFUSALS = "genai_limit_refusals_total"
LIMIT_DECISION = "genai_limit_decision_seconds"
LIMIT_STORE_DEGRADED = "genai_limit_store_degraded"
BUDGET_SPENT_RATIO = "genai_budget_spent_ratio"

# Usage.
USAGE_OUTBOX_BYTES = "genai_usage_outbox_bytes"
USAGE_OUTBOX_OLDEST = "genai_usage_outbox_oldest_seconds"
USAGE_DAMAGED = "genai_usage_damaged_total"
USAGE_DUPLICATES = "genai_usage_duplicates_total"

# Access.
KEY_EXPIRES = "genai_key_expires_timestamp_seconds"
ACCESS_SNAPSHOT_AGE = "genai_access_snapshot_age_seconds"
AUDIT_FAILURES = "genai_audit_failures_total"
