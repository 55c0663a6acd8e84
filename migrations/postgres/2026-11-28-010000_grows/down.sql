DROP TRIGGER audit_checkpoints_follow ON audit_checkpoints;
DROP FUNCTION pawl_checkpoints_follow;
DROP TRIGGER audit_nodes_follow ON audit_nodes;
DROP FUNCTION pawl_nodes_follow;
DROP TRIGGER audit_leaves_follow ON audit_leaves;
DROP FUNCTION pawl_leaves_follow;
