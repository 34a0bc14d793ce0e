// Written by tools/generate_protocol_types.py from the server's definitions. Do not edit.

/**
 * Something that was done, by whom and from where. ``position`` counts all events; ``digest`` (hex) is
 * made of the event and of the digest before it, so that a changed or removed one shows.
 */
export interface AuditEvent {
  position: number;
  time_ms: number;
  kind: string;
  user_id: string | null;
  actor_id: string | null;
  address: string;
  request_id: string;
  details: Record<string, unknown>;
  digest: string;
}

/**
 * A page of events, newest first.
 */
export interface AuditList {
  items: AuditEvent[];
  next_cursor?: string | null;
}

/**
 * Say who is there, or renew it on an open socket.
 */
export interface Authenticate {
  type: "authenticate";
  id: number;
  token: string;
}

/**
 * The history of an instrument over ``[start, end)``, epoch ms.
 *
 * ``progress`` (0 to 1) is the share of the missing time that is settled: stored, or known to have no
 * answer. ``bars`` counts what the job stored. ``missing_ms`` is what was missing when it began, null
 * before; a job that is taken up again measures by it. ``error`` says why the job failed, or what an
 * open one waits for.
 */
export interface BackfillJob {
  id: string;
  market: string;
  provider: string;
  symbol: string;
  start: number;
  end: number;
  newest_first?: boolean;
  state?: "cancelled" | "done" | "failed" | "queued" | "running";
  progress?: number;
  bars?: number;
  missing_ms?: number | null;
  error?: string | null;
  created_ms: number;
  updated_ms: number;
}

/**
 * A page of backfills, newest first.
 */
export interface BackfillList {
  items: BackfillJob[];
  next_cursor?: string | null;
}

/**
 * Which history to fetch: ``[start, end)`` in epoch ms.
 */
export interface BackfillRequest {
  market: string;
  provider: string;
  symbol: string;
  start: number;
  end: number;
  newest_first?: boolean;
}

/**
 * A chart that can be gone back to.
 */
export interface ChartChoice {
  market: string;
  provider: string;
  symbol: string;
  timeframe: "12h" | "15m" | "1M" | "1d" | "1h" | "1m" | "1w" | "2h" | "30m" | "3m" | "4h" | "5m" | "6h";
}

/**
 * How charts look.
 */
export interface ChartLook {
  type?: "area" | "candle_solid" | "candle_up_stroke" | "ohlc";
  axis?: "logarithm" | "normal";
  indicators?: IndicatorChoice[];
  favourites?: ("12h" | "15m" | "1M" | "1d" | "1h" | "1m" | "1w" | "2h" | "30m" | "3m" | "4h" | "5m" | "6h")[];
  side_panel?: boolean;
}

/**
 * What the venue says of a key: ``permissions`` (``read``, ``spot``, ``margin``, ``futures``,
 * ``options``, ``trade``, ``transfer``, ``withdraw``), whether it can withdraw and whether it is taken from
 * certain addresses alone, null where the venue does not say; ``balances`` as decimal strings, null where
 * they can't be asked for. ``detail`` is a warning for the person, where there is one.
 */
export interface CheckAnswer {
  permissions: string[] | null;
  can_withdraw: boolean | null;
  ip_restricted: boolean | null;
  balances: Record<string, string> | null;
  detail: string | null;
  tested_ms: number | null;
}

/**
 * For ``[start, end)`` the stored bars of the timeframe are all there are (``complete``), or the venue
 * was down (``outage``).
 */
export interface CoverageItem {
  timeframe: string;
  start: number;
  end: number;
  kind: "complete" | "outage";
}

/**
 * ``holes`` are those of the minutes between ``since``, the first one that is known, and now. Where there
 * are more stretches than the limit, the newest are told: the answer is whole from ``whole_since`` on, and
 * asking again with that as ``end`` brings what was before.
 */
export interface CoverageResponse {
  market: string;
  provider: string;
  symbol: string;
  items: CoverageItem[];
  holes: Hole[];
  since?: number | null;
  whole_since?: number | null;
}

/**
 * One field of a provider's key; ``secret`` ones are write-only.
 */
export interface CredentialField {
  name: "api_key" | "password" | "private_key" | "secret" | "uid" | "wallet_address";
  secret: boolean;
  required: boolean;
}

/**
 * A key. Of its fields only ``key_hint``, the last four characters of its public part, is ever told.
 * ``tested_ms`` is when the venue took it last, ``can_withdraw`` what the venue said then, null where it did
 * not say; ``may_trade``: it was tested, and where it can withdraw its owner has accepted that.
 */
export interface CredentialItem {
  id: string;
  market: string;
  provider: string;
  label: string;
  testnet: boolean;
  key_hint: string;
  created_ms: number;
  changed_ms: number;
  tested_ms: number | null;
  can_withdraw: boolean | null;
  withdrawal_accepted: boolean;
  may_trade: boolean;
  last_used_ms: number | null;
}

/**
 * A page of one's keys, oldest first.
 */
export interface CredentialList {
  items: CredentialItem[];
  next_cursor?: string | null;
}

/**
 * One thing that serving depends on; without one that is not ``required`` the server still serves.
 * ``detail`` is for who is logged in, or sits at the server itself.
 */
export interface DependencyState {
  name: string;
  ok: boolean;
  required?: boolean;
  detail?: string;
}

/**
 * The server is going away and will close the socket with 1012.
 */
export interface Draining {
  type: "draining";
  in_ms: number;
}

/**
 * What the authenticator needs: the secret, the same as an address, and that as an image (data URL).
 */
export interface EnrolAnswer {
  secret: string;
  uri: string;
  image: string;
}

/**
 * The request was not carried out; ``id`` is null where the message could not be read.
 *
 * ``code`` is stable, ``message`` a sentence for people.
 */
export interface Error {
  type: "error";
  id: number | null;
  code: string;
  message: string;
}

/**
 * What a feed says of itself. ``age_ms`` is the time since it last heard from the venue;
 * ``opens_at`` (ISO 8601) tells when a closed market opens again; one that never does says why in
 * ``detail``.
 */
export interface FeedStatus {
  type: "feed";
  topic: string;
  state: "closed" | "down" | "live" | "polling" | "stale";
  age_ms?: number | null;
  opens_at?: string | null;
  detail?: string | null;
}

/**
 * An interval ``[start, end)`` without a bar, and why; epoch ms.
 */
export interface Gap {
  start: number;
  end: number;
  reason: "no_trades" | "not_fetched" | "outage";
}

/**
 * The server is alive. Its version is for who is logged in, or sits at the server itself.
 */
export interface Health {
  status: "ok";
  version?: string;
}

/**
 * Minutes of trading time of which nothing is known.
 */
export interface Hole {
  start: number;
  end: number;
}

/**
 * An indicator on the chart, with its parameters.
 */
export interface IndicatorChoice {
  name: string;
  params: number[];
  visible?: boolean;
}

/**
 * An instrument.
 */
export interface InstrumentChoice {
  market: string;
  provider: string;
  symbol: string;
}

/**
 * An instrument; steps and limits are decimal strings, null where the provider does not tell.
 */
export interface InstrumentItem {
  market: string;
  symbol: string;
  base: string;
  quote: string;
  type: string;
  active: boolean;
  price_tick: string | null;
  amount_step: string | null;
  min_amount: string | null;
  min_cost: string | null;
  order_types: string[];
  calendar: string;
  name: string | null;
}

/**
 * An invitation; ``hint`` is how its code begins. ``code`` itself is told once, when it is made.
 */
export interface InviteItem {
  id: string;
  role: "admin" | "trader" | "viewer";
  hint: string;
  created_by: string;
  created_ms: number;
  expires_ms: number;
  used_by: string | null;
  code?: string;
}

/**
 * A page of invitations, newest first.
 */
export interface InviteList {
  items: InviteItem[];
  next_cursor?: string | null;
}

/**
 * Charts beside each other, under one name.
 */
export interface Layout {
  name: string;
  columns?: number;
  charts: ChartChoice[];
}

/**
 * A plugin in a market, and how many providers it brings.
 */
export interface MarketItem {
  market: string;
  plugin: string;
  providers: number;
}

/**
 * All markets.
 */
export interface MarketList {
  items: MarketItem[];
  next_cursor?: string | null;
}

/**
 * The caller: their user, what this token may do, and until when they need not prove themselves anew
 * (epoch ms, null where they must).
 */
export interface Me {
  user: UserItem;
  scopes: ("read" | "trade")[];
  session_id: string | null;
  verified_until: number | null;
  recovery_codes_left: number;
}

/**
 * Bars ``[t, open, high, low, close, volume]``, ascending and unique. ``forming`` says that the last
 * one has not ended; ``gaps`` where bars are missing and why; ``problems`` which source failed.
 * ``stored`` is told where there is no bar in the answer but some elsewhere in the store.
 */
export interface OhlcvResponse {
  market: string;
  provider: string;
  symbol: string;
  timeframe: string;
  bars: [number, number, number, number, number, number][];
  forming: boolean;
  sources: SourceItem[];
  gaps: Gap[];
  problems?: Problem[];
  stored?: StoredRange | null;
}

/**
 * The request was carried out; ``topic`` is set for a subscription and its end.
 */
export interface Ok {
  type: "ok";
  id: number;
  topic?: string | null;
}

/**
 * Both sides at ``t``, best level first: bids descend, asks ascend, and they do not cross.
 */
export interface OrderBook {
  t: number;
  bids: [number, number][];
  asks: [number, number][];
}

/**
 * Ask whether the server is there.
 */
export interface Ping {
  type: "ping";
  id: number;
}

/**
 * The answer to a ping.
 */
export interface Pong {
  type: "pong";
  id: number;
}

/**
 * What a person has chosen; what is left out was not. In a change null takes a choice back.
 *
 * ``timezone`` is ``browser``, ``utc`` or a name such as ``Europe/Berlin``; ``default_…`` say where a page
 * begins that is not told otherwise.
 */
export interface Preferences {
  theme?: "dark" | "light" | "system" | null;
  timezone?: string | null;
  default_market?: string | null;
  default_provider?: string | null;
  default_symbol?: string | null;
  default_timeframe?: "12h" | "15m" | "1M" | "1d" | "1h" | "1m" | "1w" | "2h" | "30m" | "3m" | "4h" | "5m" | "6h" | null;
  chart?: ChartLook | null;
  recent?: ChartChoice[] | null;
  watchlists?: Watchlist[] | null;
  layouts?: Layout[] | null;
}

/**
 * Why a part of an answer is missing: the source that failed, a stable code, and a sentence.
 */
export interface Problem {
  source: string;
  code: string;
  detail: string;
}

/**
 * Every error answer (RFC 9457); ``errors`` maps a field to what is wrong with it.
 */
export interface ProblemDocument {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  request_id: string;
  errors?: Record<string, string>;
}

/**
 * A provider: what it can do, and which fields a key to it has.
 */
export interface ProviderItem {
  provider: string;
  name: string;
  market: string;
  plugin: string;
  timeframes: string[];
  capabilities: string[];
  credential_fields: CredentialField[];
  testnet: boolean;
  simulated: boolean;
}

/**
 * The providers of a market.
 */
export interface ProviderList {
  items: ProviderItem[];
  next_cursor?: string | null;
}

/**
 * Whether the server can serve, and the state of each dependency.
 */
export interface Readiness {
  ready: boolean;
  dependencies: DependencyState[];
}

/**
 * Codes for the day when the authenticator is lost, each good once; told this once.
 */
export interface RecoveryCodes {
  recovery_codes: string[];
}

/**
 * Who may register here. ``first``: there is no user yet, so that the next one is administrator;
 * ``setup_token``: whoever asks needs the set-up token for that.
 */
export interface RegistrationState {
  mode: "closed" | "invite" | "open";
  first: boolean;
  setup_token: boolean;
}

/**
 * The last update that the client has of a topic.
 */
export interface ResumePoint {
  epoch: string;
  seq: number;
}

/**
 * What the client holds of the topic is no longer whole; a snapshot follows.
 */
export interface Resync {
  type: "resync";
  topic: string;
  reason: "epoch_changed" | "slow_client";
}

/**
 * A login that is alive.
 */
export interface SessionItem {
  id: string;
  current: boolean;
  client: "api" | "browser";
  address: string;
  agent: string;
  created_ms: number;
  last_used_ms: number;
  expires_ms: number;
}

/**
 * A page of one's sessions, the last used first.
 */
export interface SessionList {
  items: SessionItem[];
  next_cursor?: string | null;
}

/**
 * The state of a topic as of ``seq``; each topic begins with one.
 *
 * ``bars`` ascend; the last one may be forming, and then ``forming`` is true. ``gaps`` say where
 * bars are missing and why, ``problems`` which source failed. ``backfills`` are the newest, newest first.
 */
export interface Snapshot {
  type: "snapshot";
  topic: string;
  epoch: string;
  seq: number;
  bars?: [number, number, number, number, number, number][];
  forming?: boolean;
  gaps?: Gap[];
  problems?: Problem[];
  trades?: Trade[];
  ticker?: Ticker | null;
  order_book?: OrderBook | null;
  backfills?: BackfillJob[];
}

/**
 * Which source answered ``[start, end)``.
 */
export interface SourceItem {
  source: "aggregate" | "cache" | "db" | "plugin";
  start: number;
  end: number;
}

/**
 * Until when (epoch ms) the proof is believed.
 */
export interface StepUpAnswer {
  verified_until: number;
}

/**
 * An instrument that holds anything. ``known_share`` (0 to 1) is of its trading minutes since the first
 * known one; null where no minute is known.
 */
export interface StoredItem {
  market: string;
  provider: string;
  symbol: string;
  timeframes: StoredTimeframe[];
  known_share: number | null;
}

/**
 * A page of instruments, ascending by market, provider, symbol.
 */
export interface StoredList {
  items: StoredItem[];
  next_cursor?: string | null;
}

/**
 * The openings of the first and of the last bar that is stored.
 */
export interface StoredRange {
  first: number;
  last: number;
}

/**
 * A stored timeframe, with the openings of its first and last bar.
 */
export interface StoredTimeframe {
  timeframe: string;
  first: number | null;
  last: number | null;
}

/**
 * One timeframe's row: for each part of the range, how many ms of its trading time since ``since`` have
 * bars, had no trades, are missing, or were an outage. ``resolution`` is the timeframe whose bars tell
 * trades from none; null: not told, all that is known counts as ``have``.
 */
export interface StripItem {
  timeframe: string;
  resolution: string | null;
  since: number;
  have: number[];
  no_trades: number[];
  missing: number[];
  outage: number[];
}

/**
 * Part ``i`` of ``buckets`` is from ``start + i * (end - start) // buckets`` to the next one's start. No
 * item where nothing is stored.
 */
export interface StripResponse {
  market: string;
  provider: string;
  symbol: string;
  start: number;
  end: number;
  buckets: number;
  items: StripItem[];
}

/**
 * Watch a stream. ``market``, ``provider`` and ``symbol`` go with the market streams, none with
 * ``backfills``,
 * ``timeframe`` (required) and ``history`` (bars in the snapshot) with ``ohlcv`` alone,
 * ``account_id`` with ``orders``, ``bot_id`` with ``bot``.
 */
export interface Subscribe {
  type: "subscribe";
  id: number;
  stream: "backfills" | "bot" | "ohlcv" | "order_book" | "orders" | "ticker" | "trades";
  market?: string | null;
  provider?: string | null;
  symbol?: string | null;
  timeframe?: string | null;
  history?: number | null;
  resume?: ResumePoint | null;
  account_id?: string | null;
  bot_id?: string | null;
}

/**
 * A page of instruments; ``problems`` say why the list may be out of date.
 */
export interface SymbolList {
  items: InstrumentItem[];
  next_cursor?: string | null;
  problems?: Problem[];
}

/**
 * The state of a market at ``t``; a field is null where the venue does not tell.
 *
 * ``high``, ``low``, ``volume`` (base), ``quote_volume`` and ``change_percent`` are over 24 hours.
 */
export interface Ticker {
  t: number;
  last?: number | null;
  bid?: number | null;
  ask?: number | null;
  high?: number | null;
  low?: number | null;
  volume?: number | null;
  quote_volume?: number | null;
  change_percent?: number | null;
}

/**
 * What a login or a refresh gives; ``expires_in`` in seconds. The refresh token stands here only for
 * programs.
 */
export interface TokenAnswer {
  access_token: string;
  expires_in: number;
  user: UserItem;
  token_type?: "Bearer";
  refresh_token?: string;
}

/**
 * The socket will be closed with 4401 unless a fresh token arrives before then.
 */
export interface TokenExpiring {
  type: "token_expiring";
  in_ms: number;
}

/**
 * An API token; ``hint`` is how it begins. ``token`` itself is told once, when it is made.
 */
export interface TokenItem {
  id: string;
  label: string;
  scopes: ("read" | "trade")[];
  hint: string;
  created_ms: number;
  expires_ms: number;
  last_used_ms: number | null;
  token?: string;
}

/**
 * A page of one's API tokens, newest first.
 */
export interface TokenList {
  items: TokenItem[];
  next_cursor?: string | null;
}

/**
 * One trade, on the wire ``[t, id, side, price, amount]``; ``id`` is unique per symbol at its venue.
 */
export type Trade = [number, string, "buy" | "sell" | null, number, number];

/**
 * Public trades ``[t, id, side, price, amount]``, newest last.
 */
export interface TradeList {
  items: Trade[];
  next_cursor?: string | null;
}

/**
 * Stop watching; ``topic`` as the answer to the subscription gave it.
 */
export interface Unsubscribe {
  type: "unsubscribe";
  id: number;
  topic: string;
}

/**
 * A change of one topic. ``seq`` rises by one with each; ``epoch`` changes with the feed's owner.
 *
 * Just one of ``bars`` (with ``final``), ``trades``, ``ticker``, ``order_book``, ``backfill`` is set.
 * ``conflated`` counts the updates that were left out before this one, for this client only.
 */
export interface Update {
  type: "update";
  topic: string;
  epoch: string;
  seq: number;
  bars?: [number, number, number, number, number, number][];
  final?: boolean;
  trades?: Trade[];
  ticker?: Ticker;
  order_book?: OrderBook;
  backfill?: BackfillJob;
  conflated?: number;
}

/**
 * The new user.
 */
export interface UserAnswer {
  user: UserItem;
}

/**
 * A user.
 */
export interface UserItem {
  id: string;
  email: string;
  username: string;
  role: "admin" | "trader" | "viewer";
  disabled: boolean;
  totp_enabled: boolean;
  created_ms: number;
  last_login_ms: number | null;
}

/**
 * A page of users.
 */
export interface UserList {
  items: UserItem[];
  next_cursor?: string | null;
}

/**
 * Instruments under one name.
 */
export interface Watchlist {
  name: string;
  items: InstrumentChoice[];
}

export type ClientMessage = Authenticate | Ping | Subscribe | Unsubscribe;

export type ServerMessage = Draining | Error | FeedStatus | Ok | Pong | Resync | Snapshot | TokenExpiring | Update;
