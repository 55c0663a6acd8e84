// The vault through openapi-fetch and the types that openapi-typescript makes of docs/openapi.json. The
// vault's URL, a backend's and a worker's token come as arguments; prints what it was told.
import createClient from "openapi-fetch";
import type { components, paths } from "./pawl.d.ts";

const [url, ...tokens] = process.argv.slice(2);
const client = (token?: string) =>
  createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });
const [backend, worker] = [client(tokens[0]), client(tokens[1])];

const body: components["schemas"]["Deposit"] = {
  url: "https://acme.odoo.com",
  database: "acme",
  username: "bot",
  credential: { kind: "password", secret: "open sesame" },
};
const { data: kept } = await backend.POST("/v1/connections", { body });
const { error: again } = await backend.POST("/v1/connections", { body });
const { data: listed } = await backend.GET("/v1/connections");
const one = { params: { path: { id: kept!.id } } };
const { data: loan } = await worker.POST("/v1/connections/{id}/leases", { ...one, body: { purpose: "sync" } });
const { response: back } = await worker.POST("/v1/leases/{id}/return", {
  params: { path: { id: loan!.id } },
  body: { outcome: "ok", records: 3 },
});
const { response: gone } = await backend.DELETE("/v1/connections/{id}", one);
const tunnel: components["schemas"]["OtherDeposit"] = {
  credential: { kind: "tunnel", secret: "two\nlines" },
};
const { data: other } = await backend.POST("/v1/connections", { body: tunnel });
const same = kept!.id === listed!.items[0]?.id && kept!.id === again!.connection_id;
console.log(same ? "True" : "False", again!.type, loan!.credential.secret);
console.log(back.status, gone.status, other!.credential.kind, other!.url ?? "nowhere");
