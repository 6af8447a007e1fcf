// The load of bench/generator.py for k6: each virtual user posts transfers one after the other, as fast as they
// are answered, each under a key of its own.
import http from "k6/http";
import { Counter } from "k6/metrics";

const answered = new Map(
  [0, 200, 202, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504].map((status) => [
    status,
    new Counter(`status_${status}`),
  ]),
);
const other = new Counter("status_other");

export const options = {
  vus: Number(__ENV.BENCH_CONNECTIONS),
  duration: `${__ENV.BENCH_SECONDS}s`,
  discardResponseBodies: true,
  summaryTrendStats: ["med", "p(99)", "max"],
};

const headers = {
  Authorization: `Bearer ${__ENV.BENCH_TOKEN}`,
  "Content-Type": "application/json",
};
if (__ENV.BENCH_PREFER) {
  headers.Prefer = __ENV.BENCH_PREFER;
}

export default function () {
  const customer = (__VU * 7919 + __ITER) % Number(__ENV.BENCH_ACCOUNTS);
  const body = {
    kind: "transfer",
    source: `customers:${customer + 1}`,
    destination: "world",
    amount: 1 + (__ITER % 1000),
    currency: "EUR",
    description: `Order ${__VU}-${__ITER}`,
  };
  headers["Idempotency-Key"] = `${__VU}-${__ITER}`;
  const answer = http.post(__ENV.BENCH_URL, JSON.stringify(body), { headers });
  (answered.get(answer.status) || other).add(1);
}

export function handleSummary(data) {
  return { [__ENV.BENCH_SUMMARY]: JSON.stringify(data.metrics) };
}
