// Asks the model API at a port as Go's net/http does: client PORT HOW WORKERS REQUESTS, where HOW is h1 or h2.
//
// Each worker has an account and connections of its own. By HTTP/1.1 its requests follow each other over one connection; by HTTP/2 they are
// under way together on one.
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

func body(worker, number int) []byte {
	prompt := fmt.Sprintf("List %d rivers of the south. %s", number, strings.Repeat("river ", worker*31+number*57))
	text, err := json.Marshal(map[string]any{
		"model":       fmt.Sprintf("atlas-%d", number%4),
		"max_tokens":  worker*100 + number + 1,
		"temperature": 0.5,
		"stream":      number%3 == 1,
		"messages":    []map[string]string{{"role": "user", "content": prompt}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return text
}

func ask(client *http.Client, port, how string, worker, number int) {
	kind := []string{"plain", "chunked", "limited"}[number%3]
	url := fmt.Sprintf("https://127.0.0.1:%s/%s/go-%s-%d-%d/v1/chat/completions", port, kind, how, worker, number)
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body(worker, number)))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "go/"+how)
	request.Header.Set("Authorization", fmt.Sprintf("Bearer sk-go-%s-%d", how, worker))
	answer, err := client.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		log.Fatal(err)
	}
	if (answer.ProtoMajor == 2) != (how == "h2") {
		log.Fatalf("%s was asked for, and %s spoken", how, answer.Proto)
	}
}

func main() {
	port, how := os.Args[1], os.Args[2]
	workers, _ := strconv.Atoi(os.Args[3])
	requests, _ := strconv.Atoi(os.Args[4])
	var all sync.WaitGroup
	for worker := 0; worker < workers; worker++ {
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			ForceAttemptHTTP2: how == "h2",
		}
		client := &http.Client{Transport: transport}
		all.Add(1)
		go func(worker int) {
			defer all.Done()
			// The connection stands before requests share it.
			ask(client, port, how, worker, 0)
			var own sync.WaitGroup
			for number := 1; number < requests; number++ {
				if how == "h1" {
					ask(client, port, how, worker, number)
					continue
				}
				own.Add(1)
				go func(number int) {
					defer own.Done()
					ask(client, port, how, worker, number)
				}(number)
			}
			own.Wait()
			client.CloseIdleConnections()
		}(worker)
	}
	all.Wait()
}
