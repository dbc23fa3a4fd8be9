// Package secret encrypts what rocksnap stores, in the format of age
// (age-encryption.org/v1). It is the only package that knows age. Whatever it
// made can be opened with the age command, without rocksnap.
//
// # What is encrypted
//
// Every data object, and in a manifest what tells of the content: the column
// families and which file is of which, key bounds, options, metadata and the
// content digest. Each object has a key of its own, wrapped for every recipient.
//
// # What stays readable, and why
//
// A host that takes snapshots holds public keys only, so that whoever breaks into
// it cannot read older snapshots with what is found there. It must still choose a
// base, and list, prune, copy and verify must work where no key is. So these stay
// readable: the catalog's order and hash chain; the summary of a snapshot with its
// labels; of each file its name, identity, level and sequence numbers, its object,
// sizes and digest; counts of records and ranges of key groups; the state of the
// strategy; intents, notes and pins; the modules, and format.json. Digests and
// checksums are those of the stored bytes: they prove the object without a key,
// and say nothing of the plain bytes.
//
// # What somebody sees who has the repository and no key
//
//   - The names of databases, the labels, the strategy and its state, the time and
//     duration of each snapshot, and the host and process that took it. Do not put
//     a secret into a label or into the state.
//   - The number of files, their exact sizes and RocksDB's numbers and ids for them,
//     and which of them snapshots share; of a canonical snapshot also the number of
//     records in each range of key groups. That gives away how fast the database
//     grows, how much of it changes, and how well it compresses.
//   - How many recipients there are, and of which sort. A header does not say who
//     they are. The ID of the set does to somebody who knows the public keys: it
//     lets a guess be confirmed.
//
// # What encryption does not do
//
// It is no signature. The public keys are no secret, so somebody who can write to
// the store can make a snapshot that decrypts without a fault. A changed byte of
// what is there is found, by its digest and, with the key, by age itself; objects
// that changed places are found by their digests, and a rewritten history by the
// hash chain. None of that holds against a repository that was forged as a
// whole: permissions of the store have to.
//
// It cannot be undone or renewed either. An object remains encrypted to the set it
// was written for; removing a recipient from the configuration takes nothing from
// those who have that key and the old objects. When every identity is lost, so
// is the data.
//
// Two encryptions of the same bytes have nothing in common, not even with the same
// recipients. So what was encrypted once cannot be compared with, or continued
// by, encrypting it again.
package secret
