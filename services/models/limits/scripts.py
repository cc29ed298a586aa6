"""The Lua scripts of the limit store in Redis.

Numbers in Lua are doubles, exact up to 2^53: amounts above 9 * 10^15 are refused before. What is spent is added by
Redis itself, in 64 bits.
"""

from __future__ import annotations

TIME = "local t = redis.call('TIME'); local now = t[1] * 1000000 + t[2]\n"
"""The beginning of every script."""

# KEYS: the mark of the call, then of each charge its key, and of a counter its reservations too.
# ARGV: call, lease, milliseconds for which a mark is kept, whether anything is settled, then for each charge
#   rate, is enforced, cost, tolerance      or      slots|budget, is enforced, units, amount, start, end
# Returns the time, then for each charge: 0 fits, 1 over, 2 cold, 3 stale; what is used, held, and the peak.
ADMIT = (
    TIME
    + """local call, lease, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local result, plan, goes_on, k, a = {now}, {}, true, 2, 5
local function put(state, used, held, peak)
  local n = #result
  result[n + 1], result[n + 2], result[n + 3], result[n + 4] = state, used, held, peak
end
while k <= #KEYS do
  local kind, enforced, key = ARGV[a], ARGV[a + 1] == '1', KEYS[k]
  if kind == 'rate' then
    local cost, tolerance = tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
    local used = tonumber(redis.call('GET', key) or now)
    if used < now then used = now end
    local over = used + cost - tolerance > now
    put(over and 1 or 0, used, 0, 0)
    if over and enforced then goes_on = false end
    if not over then plan[#plan + 1] = {kind, key, used + cost} end
    k, a = k + 1, a + 4
  else
    local live, units, amount = KEYS[k + 1], tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
    local first, last = tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
    local row = redis.call('HMGET', key, 'spent', 'held', 'peak')
    if now < first or now >= last then
      goes_on = false
      put(3, 0, 0, 0)
    elseif kind == 'budget' and not row[1] then
      goes_on = false
      put(2, 0, 0, 0)
    else
      local spent, held, peak = tonumber(row[1] or 0), tonumber(row[2] or 0), tonumber(row[3] or 0)
      local dead = redis.call('ZRANGEBYSCORE', live, '-inf', now)
      if #dead > 0 then
        for _, member in ipairs(dead) do held = held - tonumber(string.match(member, ':(%d+)$')) end
        redis.call('ZREMRANGEBYSCORE', live, '-inf', now)
        redis.call('HSET', key, 'held', string.format('%.0f', held))
      end
      local over = spent + held + units > amount
      put(over and 1 or 0, spent, held, peak)
      if over and enforced then goes_on = false end
      plan[#plan + 1] = {kind, key, live, ARGV[a + 2], spent + held + units, peak, last}
    end
    k, a = k + 2, a + 6
  end
end
if not goes_on then return result end
for _, p in ipairs(plan) do
  if p[1] == 'rate' then
    redis.call('SET', p[2], string.format('%.0f', p[3]), 'PX', math.ceil((p[3] - now) / 1000) + 60000)
  else
    redis.call('HINCRBY', p[2], 'held', p[4])
    if p[5] > p[6] then redis.call('HSET', p[2], 'peak', string.format('%.0f', p[5])) end
    redis.call('ZADD', p[3], now + lease, call .. ':' .. p[4])
    if p[1] == 'slots' then
      redis.call('PEXPIRE', p[2], kept)
      redis.call('PEXPIRE', p[3], kept)
    elseif p[7] < 9e15 then
      redis.call('PEXPIREAT', p[3], string.format('%.0f', p[7] / 1000 + kept))
    end
  end
end
if ARGV[4] == '1' then redis.call('SET', KEYS[1], '1', 'PX', kept) end
return result
"""
)

# KEYS: the counter of a budget. ARGV: what is spent, the window's end in milliseconds or 0, how long it is kept then.
LOAD = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'spent', ARGV[1], 'held', '0', 'peak', '0')
if ARGV[2] ~= '0' then redis.call('PEXPIREAT', KEYS[1], ARGV[2] + ARGV[3]) end
return 1
"""

# KEYS: the mark of the call, its mark as one that was never admitted, then of each charge its key, and of a counter its
# reservations too. ARGV: call, whether it was admitted, milliseconds for which a mark is kept, then for each charge
#   rate, microseconds      or      counter, units held, units spent
SETTLE = (
    TIME
    + """local call, k, a = ARGV[1], 3, 4
if ARGV[2] == '1' then
  if redis.call('DEL', KEYS[1]) == 0 then return 0 end
else
  if not redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[3]) then return 0 end
  redis.call('DEL', KEYS[1])
end
while k <= #KEYS do
  local key = KEYS[k]
  if ARGV[a] == 'rate' then
    local used = tonumber(redis.call('GET', key) or now)
    if used < now then used = now end
    used = used + tonumber(ARGV[a + 1])
    if used < now then used = now end
    redis.call('SET', key, string.format('%.0f', used), 'PX', math.ceil((used - now) / 1000) + 60000)
    k, a = k + 1, a + 2
  else
    if redis.call('ZREM', KEYS[k + 1], call .. ':' .. ARGV[a + 1]) == 1 and ARGV[a + 1] ~= '0' then
      redis.call('HINCRBY', key, 'held', '-' .. ARGV[a + 1])
    end
    if ARGV[a + 2] ~= '0' and redis.call('EXISTS', key) == 1 then redis.call('HINCRBY', key, 'spent', ARGV[a + 2]) end
    k, a = k + 2, a + 3
  end
end
return 1
"""
)

# KEYS: reservations of counters. ARGV: lease, then a member of each.
RENEW = (
    TIME
    + """for i, key in ipairs(KEYS) do
  local expiry = redis.call('ZSCORE', key, ARGV[i + 1])
  if expiry and tonumber(expiry) > now then redis.call('ZADD', key, now + tonumber(ARGV[1]), ARGV[i + 1]) end
end
return 1
"""
)
