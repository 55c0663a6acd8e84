storage "raft" {
  path    = "DIR/data"
  node_id = "one"
}
listener "tcp" {
  address         = "ADDRESS"
  cluster_address = "CLUSTER"
  tls_disable     = true
}
api_addr     = "http://ADDRESS"
cluster_addr = "https://CLUSTER"
log_level    = "error"
audit "file" "file" {
  options {
    file_path = "DIR/audit"
  }
}
