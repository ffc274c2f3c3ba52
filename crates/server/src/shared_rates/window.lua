-- One window of calls: at most so many in any stretch of its length. The same arithmetic as crates/gateway/src/rate.rs, on the
-- clock of this server, so that the clocks of gateways do not matter.
--
-- KEYS[1] hash: beginning of a slice in milliseconds -> its calls
-- ARGV    limit, length of the window in ms, length of a slice in ms, calls to count, 1 if they are admitted already
-- Returns {1, calls that may still pass} or {0, milliseconds until something is free}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit, period, slice = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local count, admitted = tonumber(ARGV[4]), ARGV[5] == '1'
local life = period + slice

local slices, sum, newest = {}, 0, nil
local stored = redis.call('HGETALL', KEYS[1])
for i = 1, #stored, 2 do
    local began, calls = tonumber(stored[i]), tonumber(stored[i + 1])
    if now - began >= life then
        redis.call('HDEL', KEYS[1], stored[i])
    else
        slices[#slices + 1] = { began, calls }
        sum = sum + calls
        if newest == nil or began > newest then
            newest = began
        end
    end
end

local wanted = math.max(count, 1)
if not admitted and sum + wanted > limit then
    table.sort(slices, function(one, other) return one[1] < other[1] end)
    local left = sum
    for _, entry in ipairs(slices) do
        left = left - entry[2]
        if left + wanted <= limit then
            return { 0, math.max(life - (now - entry[1]), 1) }
        end
    end
    return { 0, period }
end

if count > 0 then
    if newest == nil or now - newest >= math.max(slice, 1) then
        newest = now
    end
    redis.call('HINCRBY', KEYS[1], string.format('%.0f', newest), count)
    redis.call('PEXPIRE', KEYS[1], life)
    sum = sum + count
end
return { 1, math.max(limit - sum, 0) }
