/** Names for the answers over HTTP, over the types generated from the server's definitions. */

/**
 * @template T
 * @typedef {{items: T[], next_cursor?: string | null}} Page
 */

export {};
