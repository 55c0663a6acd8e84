storage "file" {
  path = "DIR/data"
}
listener "tcp" {
  address     = "ADDRESS"
  tls_disable = true
}
work_dir  = "DIR/work"
log_level = "error"
