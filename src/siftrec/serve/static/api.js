// The service's HTTP interface. A token comes once from the address (#token=…) or the form, and stays in this tab.

const KEY = "siftrec-token";

/** Why the service gave no answer: status 0 = it could not be reached. */
export class Refusal extends Error {
  constructor(status, what, wait = 0) {
    super(what);
    this.status = status;
    this.wait = wait;
  }
}

export const setToken = (token) => sessionStorage.setItem(KEY, token);
export const hasToken = () => sessionStorage.getItem(KEY) !== null;

async function call(path, options) {
  const token = sessionStorage.getItem(KEY);
  const headers = { Accept: "application/json" };
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The service does not answer.");
  }
  if (response.ok) return response.json();
  const told = await response.json().catch(() => null);
  const { what = `status ${response.status}`, where = null } = told?.error ?? {};
  throw new Refusal(response.status, where === null ? String(what) : `${where}: ${what}`, Number(response.headers.get("Retry-After")) || 0);
}

const post = (path, value, signal) => call(path, { method: "POST", body: JSON.stringify(value), signal });

export const model = () => call("/v1/model", {});
export const search = (text, limit, signal) =>
  call(`/v1/search?q=${encodeURIComponent(text)}&limit=${limit}`, { signal });
export const recommend = (history, k, explain, signal) => post("/v1/recommend", { history, k, explain }, signal);
export const similar = (item, k, signal) => post("/v1/similar", { item, k }, signal);
