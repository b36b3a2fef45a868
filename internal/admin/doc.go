// Package admin is the HTTP side of a node: health, metrics, profiles, the JSON API under /api/v1 and the console.
//
// It knows nothing of clusters or games: what it shows and does comes through [Source]. It is no part of the game's path; a node
// whose admin port fails goes on serving players.
//
// Who may do what: /livez, /readyz and the console's static files are open to everybody. When the port is bound to loopback
// everything else is, too, but only under a Host header that names this machine, so that a web page cannot reach it through a
// name of its own. Beyond loopback a bearer token is asked for everything else; with tokens configured, changes (POST) and profiles
// need one on loopback too. A token has a [Role]: a viewer looks, an operator changes, an admin takes profiles as well. Changes are
// refused to other web pages (Origin, Sec-Fetch-Site), and each is logged with who did it, those refused too.
//
// Every response has a deadline, the number of event streams is bounded, and [Server.Run] returns when all handlers have ended.
package admin
