// Package auth judges and mints the tokens with which players prove who they are: JWT signed with HS256 or EdDSA.
//
// The keys stand in a file, a JSON Web Key Set (RFC 7517, RFC 8037), each with a kid. A token is taken when the key of its kid
// signed it with the algorithm of that key, its aud is the cluster, its sub a player's name, its exp not over (clocks may differ by
// [Skew]) and its role, if it has one, a word. The algorithm is the key's, never the token's choice.
//
// To rotate, add the new key to the file on all nodes, mint with it, and take the old key out when its last token is over. A file
// that is read again takes effect at once ([Keyring.Reload]); one that is broken changes nothing.
//
// A [Keyring] may be used from any goroutine; [Keyring.Check] does no I/O. Errors name no part of a key or token, so that they may
// be shown to clients and logged.
package auth
