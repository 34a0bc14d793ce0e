/** What several feeds together amount to. */

/** @import {FeedStatus as Feed} from "../net/protocol.js" */

/**
 * Least to worry about first. A closed market comes before a live one, so that the whole is closed only
 * where every part is.
 *
 * @type {Feed["state"][]}
 */
const SEVERITY = ["closed", "live", "polling", "stale", "down"];
const FIRST_TROUBLE = SEVERITY.indexOf("stale");

/** @param {Feed} feed */
function severity({ state }) {
  return SEVERITY.indexOf(state);
}

/**
 * The state of several feeds as one: the worst of them, and in words how many are so.
 *
 * @param {readonly (Feed | null)[]} feeds null where a feed has not been heard of
 * @returns {Feed | null} null while nothing can be said of all: some are unknown and none is in trouble
 */
export function worstFeed(feeds) {
  const known = feeds.filter((feed) => feed !== null);
  const worst = known.toSorted((a, b) => severity(b) - severity(a))[0];
  if (!worst) return null;
  const troubled = severity(worst) >= FIRST_TROUBLE;
  if (known.length < feeds.length && !troubled) return null;
  const alike = known.filter(({ state }) => state === worst.state).length;
  if (!troubled || alike === feeds.length) return worst;
  const share = `${alike} of ${feeds.length} feeds: ${worst.state}.`;
  return { ...worst, detail: worst.detail ? `${share} ${worst.detail}` : share };
}
