// What a program in TypeScript does with the types that openapi-typescript makes of the interface description. It is
// compiled, not run: a member that is renamed or whose type changes is an error here.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Reservation = components["schemas"]["Reservation"];

export async function book(url: string, carNo: string, customerNo: string): Promise<Reservation> {
  const client = createClient<paths>({ baseUrl: url });
  const period = { from: "2035-01-01T00:00:00Z", to: "2035-01-03T00:00:00Z" };
  const found = await client.GET("/v1/availability", { params: { query: { ...period, limit: 10 } } });
  const offer = found.data?.items.find((offer) => offer.carNo === carNo);
  if (!offer) throw new Error(found.error?.code ?? "it is not free");
  const total: number = offer.price.amount;
  const made = await client.POST("/v1/reservations", {
    params: { header: { "Idempotency-Key": "key-1" } },
    body: { carNo, customerNo, ...period, payment: { method: "card", token: "tok_visa" } },
  });
  if (!made.data) throw new Error(`${made.error.code}: ${made.error.detail}`);
  const { reservationNo, status, links } = made.data;
  if (status === "PAYMENT_PENDING" && !links.pay) throw new Error(`${total} cannot be paid`);
  const quote = await client.GET("/v1/reservations/{reservationNo}/cancellation", { params: { path: { reservationNo } } });
  const refund: number | undefined = quote.data?.refund?.amount;
  const cancelled = await client.POST("/v1/reservations/{reservationNo}/cancellation", {
    params: { path: { reservationNo } },
  });
  if (!cancelled.data) throw new Error(cancelled.error.code);
  if (cancelled.data.refund?.amount !== refund) throw new Error("the refund is another one");
  return cancelled.data;
}
