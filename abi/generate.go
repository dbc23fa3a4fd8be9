package abi

//go:generate go run ./internal/bindgen
