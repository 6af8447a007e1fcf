-- The load of bench/generator.py for wrk, with one thread: as load.js.
local accounts = tonumber(os.getenv("BENCH_ACCOUNTS"))
local statuses = { 200, 202, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504 }
local loader

local headers = {
  ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"),
  ["Content-Type"] = "application/json",
}
if os.getenv("BENCH_PREFER") ~= "" then
  headers["Prefer"] = os.getenv("BENCH_PREFER")
end

local sent = 0
for _, status in ipairs(statuses) do
  _G["status_" .. status] = 0
end

function setup(thread)
  loader = thread
end

function request()
  sent = sent + 1
  headers["Idempotency-Key"] = "wrk-" .. sent
  local body = string.format(
    '{"kind":"transfer","source":"customers:%d","destination":"world","amount":%d,'
      .. '"currency":"EUR","description":"Order %d"}',
    sent * 7919 % accounts + 1, 1 + sent % 1000, sent)
  return wrk.format("POST", nil, headers, body)
end

function response(status)
  local name = "status_" .. status
  _G[name] = (_G[name] or 0) + 1
end

function done(summary, latency)
  local out = assert(io.open(os.getenv("BENCH_SUMMARY"), "w"))
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  local parts = { string.format('"status_0":%d', lost) }
  for _, status in ipairs(statuses) do
    local count = loader:get("status_" .. status) or 0
    if count > 0 then
      table.insert(parts, string.format('"status_%d":%d', status, count))
    end
  end
  table.insert(parts, string.format('"p50_us":%d', latency:percentile(50)))
  table.insert(parts, string.format('"p99_us":%d', latency:percentile(99)))
  out:write("{" .. table.concat(parts, ",") .. "}")
  out:close()
end
